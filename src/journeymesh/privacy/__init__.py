"""Former customers: who is due, what keeps them, and the run that puts their data beyond reach."""
