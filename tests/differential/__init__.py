"""Decisions beside an oracle that was written from their documentation."""
