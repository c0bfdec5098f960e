"""Migrations of the tables of sessions, run by ``SqlDatabase.migrate()``."""
