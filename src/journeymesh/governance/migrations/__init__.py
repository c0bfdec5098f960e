"""Migrations of the tables of approvals, run by ``SqlDatabase.migrate()``."""
