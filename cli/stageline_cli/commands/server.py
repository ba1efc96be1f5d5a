"""`stageline server`: a server on a PostgreSQL of one's own."""

from pathlib import Path

import click

from stageline_cli.failures import needs_server_extra
from stageline_cli.serving import (
    forget_ready_file,
    plugin_option,
    read_settings,
    require_database,
    run_server,
    write_ready_file,
)


@click.command()
@click.option("--listen", help="host:port to listen on. [env: STAGELINE_LISTEN; default: 127.0.0.1:7460]")
@click.option(
    "--migrate", "migrate_first", is_flag=True, help="Bring the database's schema up to date first."
)
@click.option(
    "--store",
    type=click.Choice(["postgres", "memory"]),
    default="postgres",
    show_default=True,
    help="Where the state is. With memory all of it ends with the process; for trials only.",
)
@plugin_option
@click.option(
    "--tls-cert",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The server's certificate, PEM. [env: STAGELINE_TLS_CERT]",
)
@click.option(
    "--tls-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its private key, PEM. [env: STAGELINE_TLS_KEY]",
)
@click.option(
    "--tls-client-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Who must have signed clients' certificates, PEM. [env: STAGELINE_TLS_CLIENT_CA]",
)
@click.option(
    "--insecure",
    is_flag=True,
    default=None,
    help="Listen beyond this machine without TLS or tokens: in a network that you trust, or behind a proxy.",
)
@click.option(
    "--metrics-listen",
    help="host:port, or a port of this machine alone, to serve metrics for Prometheus on. [env: STAGELINE_METRICS_LISTEN; default: nowhere]",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help='Write {"address", "pid"} as JSON to this file when the server is ready.',
)
def server(  # noqa: PLR0913, PLR0917 - one parameter for each option
    listen: str | None,
    migrate_first: bool,
    store: str,
    plugins: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    insecure: bool | None,
    metrics_listen: str | None,
    ready_file: Path | None,
) -> None:
    """Start a server on your PostgreSQL.

    The database is named by STAGELINE_DATABASE_URL; its schema is made and updated by `stageline migrate`. Several servers
    may work on one database. All settings are listed in docs/configuration.md. SIGTERM lets workers finish what they hold,
    for at most STAGELINE_DRAIN_DEADLINE; a second one ends the server at once.

    It listens on this machine only, unless it has TLS, and then it asks callers for tokens: `stageline token create`.
    """
    with needs_server_extra("server"):
        from stageline_server.serving import serve_database, serve_memory

    settings = read_settings(
        listen=listen,
        plugins=plugins,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        insecure=insecure,
        metrics_listen=metrics_listen,
    )

    forget_ready_file(ready_file)

    def ready(address: str) -> None:
        click.echo(f"Stageline serves on {address}")
        if ready_file is not None:
            write_ready_file(ready_file, address)

    if store == "memory":
        main = serve_memory(settings, ready)
    else:
        require_database(settings, "server")
        main = serve_database(settings, ready, migrate_first=migrate_first)
    run_server(main, port_hint="Choose another with --listen host:port; port 0 takes any free one.")
