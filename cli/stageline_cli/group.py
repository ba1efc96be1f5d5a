"""The `stageline` command and the table of what it can do."""

import importlib.metadata

import click

from stageline_cli.lazy import LazyCommand, LazyGroup

LAZY_COMMANDS = {
    "dev": LazyCommand(
        "stageline_cli.commands.dev:dev", "Start a server with its own database, for development."
    ),
    "worker": LazyCommand(
        "stageline_cli.commands.worker:worker", "Run the stages of the worker at MODULE:ATTRIBUTE."
    ),
    "run": LazyCommand("stageline_cli.commands.run:run", "Start, read, watch and change runs."),
    "usage": LazyCommand("stageline_cli.commands.usage:usage", "Show what AI calls cost."),
    "workers": LazyCommand("stageline_cli.commands.workers:workers", "List the workers that are connected."),
    "stats": LazyCommand("stageline_cli.commands.stats:stats", "Count what a namespace holds."),
    "events": LazyCommand(
        "stageline_cli.commands.events:events",
        "Follow the events of all runs.",
    ),
    "dlq": LazyCommand(
        "stageline_cli.commands.dlq:dlq", "List, replay and skip events that a plugin gave up on."
    ),
    "maintenance": LazyCommand(
        "stageline_cli.commands.maintenance:maintenance", "Do by hand what a server does by its timers."
    ),
    "workflow": LazyCommand(
        "stageline_cli.commands.workflow:workflow", "List and show registered workflows."
    ),
    "conformance": LazyCommand(
        "stageline_cli.commands.conformance:conformance",
        "Hold a worker in any language to the worker protocol.",
    ),
    "models": LazyCommand(
        "stageline_cli.commands.models:models", "List the AI models that workers can call."
    ),
    "token": LazyCommand(
        "stageline_cli.commands.token:token",
        "Make, list and revoke the tokens by which callers show who they are.",
    ),
    "server": LazyCommand("stageline_cli.commands.server:server", "Start a server on your PostgreSQL."),
    "migrate": LazyCommand(
        "stageline_cli.commands.migrate:migrate", "Bring the database's schema up to date."
    ),
}


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"stageline {importlib.metadata.version('stageline')}")
        context.exit()


@click.group(
    cls=LazyGroup,
    commands_by_name=LAZY_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 the run failed or was cancelled, 2 wrong usage, 3 server not reachable, "
    "4 refused by the server, 5 server could not start, 6 worker failed, 130 interrupted.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
def stageline() -> None:
    """Workflows whose stages run on workers anywhere, in any language."""
