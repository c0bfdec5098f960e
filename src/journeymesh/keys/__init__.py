"""Secrets of policy terms: made, kept wrapped, derived from, destroyed."""
