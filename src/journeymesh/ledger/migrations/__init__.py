"""Migrations of the audit's table, run by ``SqlDatabase.migrate()``."""
