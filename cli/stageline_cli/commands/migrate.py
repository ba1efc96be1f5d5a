"""`stageline migrate`: the database's schema."""

import asyncio

import click

from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError, needs_server_extra
from stageline_cli.serving import read_settings, require_database


@click.command()
@click.option(
    "--check", is_flag=True, help="Change nothing; exit with 5 when the schema is older than this version."
)
def migrate(check: bool) -> None:
    """Bring the database's schema up to date.

    The database is named by STAGELINE_DATABASE_URL. Safe to run twice, or from several places at once: one migrates, the
    others wait. Servers of the version before keep working on the new schema.
    """
    with needs_server_extra("migrate"):
        from stageline_engine.errors import StorageUnavailableError
        from stageline_server import schema

    settings = read_settings()
    require_database(settings, "migrate")
    dsn = settings.database_url.get_secret_value()
    try:
        if check:
            asyncio.run(schema.check_schema(dsn))
            click.echo("The schema is up to date.")
            return
        before, after = asyncio.run(schema.migrate(dsn))
    except (StorageUnavailableError, schema.SchemaError) as error:
        raise CommandError(str(error), ExitCode.START_FAILED) from error
    if before == after:
        click.echo(f"The schema is up to date, at revision {after}.")
    else:
        click.echo(f"The schema is now at revision {after}; it was at {before or 'none'}.")
