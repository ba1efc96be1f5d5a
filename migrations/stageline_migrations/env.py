"""Alembic's entry point. ``runner`` gives it the connection to migrate, in the options of the configuration."""

from alembic import context

from stageline_engine.adapters.postgres.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_server_default=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
