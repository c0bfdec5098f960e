"""Where the pass runs."""
