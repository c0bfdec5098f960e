"""Migrations of the tables of tombstones, run by ``SqlDatabase.migrate()``."""
