"""journeyapi and identityapi: thin HTTP over the rooms below. They translate; they do not decide."""
