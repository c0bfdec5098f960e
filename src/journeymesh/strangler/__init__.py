"""One door before legacy and target: routes, shadow reads, backfill, live sync, reconciliation, cutover and back."""
