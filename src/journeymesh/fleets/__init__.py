"""Seeded fleets with their truth, for demo, tests and benchmarks."""
