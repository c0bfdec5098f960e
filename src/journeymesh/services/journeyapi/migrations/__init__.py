"""Migrations of the kept answers, run by ``KeptAnswers.database.migrate()``."""
