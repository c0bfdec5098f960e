"""Measured side by side with peers, each thing in a process of its own. `make bench` runs them all."""
