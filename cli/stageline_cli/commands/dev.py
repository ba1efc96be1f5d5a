"""`stageline dev`: a server with its own database."""

from pathlib import Path

import click

from stageline_cli.failures import needs_server_extra
from stageline_cli.serving import (
    forget_ready_file,
    plugin_option,
    read_settings,
    run_server,
    write_ready_file,
)

DEFAULT_ADDRESS = "127.0.0.1:7460"
EXAMPLE_WORKER = "examples.document_processor:worker"


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes any free one. [default: 7460]"
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the database; made if missing. [env: STAGELINE_DATA_DIR; default: ./.stageline]",
)
@plugin_option
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help='Write {"address", "pid"} as JSON to this file when the server is ready.',
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    help="How much goes to the log. [env: STAGELINE_LOG_LEVEL; default: INFO]",
)
def dev(
    port: int | None,
    data_dir: Path | None,
    plugins: str | None,
    ready_file: Path | None,
    log_level: str | None,
) -> None:
    """Start a server with its own database, for development.

    The database is a real PostgreSQL in a folder; it is kept from one start to the next. Ctrl-C lets workers finish
    what they hold, and stops the server and its database; a second Ctrl-C does so at once.
    """
    with needs_server_extra("dev"):
        from stageline_server.development import serve_development

    listen = None if port is None else f"127.0.0.1:{port}"
    settings = read_settings(
        listen=listen, data_dir=data_dir, plugins=plugins, log_level=log_level and log_level.upper()
    )

    forget_ready_file(ready_file)

    def ready(address: str) -> None:
        click.echo(welcome(address, settings.data_dir.absolute()))
        if ready_file is not None:
            write_ready_file(ready_file, address)

    click.echo("Starting the database and the server ...")
    run_server(
        serve_development(settings, ready),
        port_hint="Choose another with --port, or let --port 0 take any free one.",
    )
    click.echo("Stopped. The data is kept; start again with the same command.")


def welcome(address: str, data_dir: Path) -> str:
    """Returns what a person wants to know of a server that is ready."""
    option = "" if address == DEFAULT_ADDRESS else f" --address {address}"
    return (
        f"\nStageline is ready.\n"
        f"  address      {address}\n"
        f"  data folder  {data_dir}\n"
        f"\nNext, in another terminal:\n"
        f"  stageline worker{option} {EXAMPLE_WORKER}\n"
        f"\nCtrl-C stops the server.\n"
    )
