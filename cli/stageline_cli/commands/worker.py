"""`stageline worker`: run stages."""

import logging

import click

from stageline_cli.connecting import refusal, target_options
from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError
from stageline_cli.loading import load_worker
from stageline_sdk import ApiError, DefinitionError


@click.command()
@click.argument("target", metavar="MODULE:ATTRIBUTE")
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), help="Jobs at once. [default: as the worker says]"
)
@click.option("--name", help="The worker's name, for people. [default: as the worker says]")
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help="How much goes to the log.",
)
@target_options
def worker(
    target: str,
    concurrency: int | None,
    name: str | None,
    log_level: str,
    address: str | None,
    namespace: str,
) -> None:
    """Run the stages of the worker at MODULE:ATTRIBUTE.

    The module is looked for in the current folder too; without an ATTRIBUTE, `worker` is meant. The worker registers its
    workflows, and connects again for ever when the server is away. Ctrl-C or SIGTERM lets it finish what it holds, or
    hand it back, and exits with 0; a second one ends it at once.

    \b
    Examples:
      stageline worker examples.document_processor:worker
      stageline worker my_stages --concurrency 64 --address stageline.internal:7460
    """  # noqa: D301 - click reads the control character
    _log_to_stderr(log_level)
    loaded = load_worker(target)
    context = click.get_current_context()
    is_given = context.get_parameter_source("namespace") is not click.core.ParameterSource.DEFAULT
    try:
        made = loaded.configured(
            concurrency=concurrency, name=name, namespace=namespace if is_given else None
        )
    except DefinitionError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    for workflow in made.workflows:
        plan = " -> ".join(_group_text([stage.id for stage in group]) for group in workflow.groups)
        click.echo(f"{workflow.name}: {plan}", err=True)
    click.echo(f"Worker {made.name!r}, {made.concurrency} jobs at once. Ctrl-C to stop.", err=True)
    try:
        made.run_forever(address)
    except ApiError as error:
        raise CommandError(refusal(error).message, ExitCode.WORKER_FAILED) from error
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    click.echo("Stopped.", err=True)


def _group_text(stage_ids: list[str]) -> str:
    shown = ", ".join(stage_ids[:5]) + (f" and {len(stage_ids) - 5} more" if len(stage_ids) > 5 else "")
    return shown if len(stage_ids) == 1 else f"[{shown}]"


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
