"""The database migrations of Stageline, found by Alembic as a package."""
