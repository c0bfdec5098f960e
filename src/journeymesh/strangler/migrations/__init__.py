"""Migrations of the control database, run by ``Control.migrate()``."""
