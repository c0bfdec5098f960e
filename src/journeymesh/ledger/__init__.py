"""What happened, append-only: the audit chain."""
