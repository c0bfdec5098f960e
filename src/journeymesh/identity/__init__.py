"""Who asks and what they are capable of, behind one small port."""
