"""Who wraps intermediate keys: one file for each kind of KMS."""
