"""Alembic's migrations of the store; each is written once and never changed after a release."""
