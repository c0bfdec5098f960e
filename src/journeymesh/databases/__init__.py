"""A SQL database of ours: URL to engine, the transactions that readers and writers run in, faults, schema."""
