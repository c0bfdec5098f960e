"""Migrations of the tables of a key store, run by ``SqlDatabase.migrate()``."""
