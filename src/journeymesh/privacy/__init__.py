"""Former customers: who is due, what keeps them, and the run that erases their data and has it refused."""
