"""`stageline worker`: run stages."""

import gc
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from stageline_cli.connecting import refusal, target_options
from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError
from stageline_cli.json_arguments import LabelType
from stageline_cli.loading import load_worker
from stageline_cli.output import one_line, print_json, to_plain
from stageline_sdk import ApiError, DefinitionError

if TYPE_CHECKING:
    from stageline_sdk import Worker

GARBAGE_THRESHOLD = 10_000
"""New objects after which garbage is looked for: a worker with many short jobs makes few that are garbage so soon."""


@click.command()
@click.argument("target", metavar="MODULE:ATTRIBUTE")
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), help="Jobs at once. [default: as the worker says]"
)
@click.option("--name", help="The worker's name, for people. [default: as the worker says]")
@click.option(
    "--label",
    "labels",
    type=LabelType(),
    multiple=True,
    help="A label KEY=VALUE, for stages that require it. May be given several times. [default: as the worker says]",
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help="How much goes to the log.",
)
@click.option(
    "--once", is_flag=True, help="Do the jobs that are available and exit: for cron jobs and functions."
)
@click.option(
    "--max-jobs",
    type=click.IntRange(1),
    help="With --once: the most jobs to do. [default: 1]",
)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 60),
    default=0.0,
    help="With --once: seconds to wait for a first job. [default: 0]",
)
@click.option("--run", "run_id", default="", help="With --once: only jobs of this run.")
@click.option("--stage", "stage_id", default="", help="With --once and --run: only the job of this stage.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print what was done as JSON.")
@target_options
def worker(  # noqa: PLR0913, PLR0917 - one parameter for each option
    target: str,
    concurrency: int | None,
    name: str | None,
    labels: tuple[tuple[str, str], ...],
    log_level: str,
    once: bool,
    max_jobs: int | None,
    wait_seconds: float,
    run_id: str,
    stage_id: str,
    as_json: bool,
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
      stageline worker my_stages --label gpu=a100 --label zone=eu
      stageline worker my_stages --once --max-jobs 100 --json    # from cron; exits with 1 when a job failed
    """  # noqa: D301 - click reads the control character
    _log_to_stderr(log_level)
    loaded = load_worker(target)
    context = click.get_current_context()
    is_given = context.get_parameter_source("namespace") is not click.core.ParameterSource.DEFAULT
    try:
        made = loaded.configured(
            concurrency=concurrency,
            name=name,
            namespace=namespace if is_given else None,
            labels=dict(labels),
        )
    except DefinitionError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    if once:
        wanted = {"wait": timedelta(seconds=wait_seconds), "run_id": run_id, "stage_id": stage_id}
        _work_once(made, max_jobs or 1, wanted, address, as_json=as_json)
        return
    if max_jobs or run_id or stage_id or wait_seconds or as_json:
        raise CommandError("--max-jobs, --run, --stage, --wait and --json need --once", ExitCode.USAGE)
    for workflow in made.workflows:
        plan = " -> ".join(_group_text([stage.id for stage in group]) for group in workflow.groups)
        click.echo(f"{workflow.name}: {plan}", err=True)
    click.echo(f"Worker {made.name!r}, {made.concurrency} jobs at once. Ctrl-C to stop.", err=True)
    gc.freeze()  # what was imported lives as long as the process, and need not be searched for garbage
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        made.run_forever(address)
    except ApiError as error:
        raise CommandError(refusal(error).message, ExitCode.WORKER_FAILED) from error
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    click.echo("Stopped.", err=True)


def _work_once(
    made: "Worker", max_jobs: int, wanted: dict[str, Any], address: str | None, *, as_json: bool
) -> None:
    """Does what is available, tells of it, and exits with what it came to."""
    try:
        result = made.run_once_sync(max_jobs, address=address, **wanted)
    except ApiError as error:
        raise refusal(error) from error
    except ValueError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    if as_json:
        print_json({"counts": result.counts, "jobs": [to_plain(job) for job in result.jobs]})
    else:
        for job in result.jobs:
            note = f": {one_line(job.error)}" if job.error else ""
            click.echo(f"{job.run_id} {job.stage_id} {job.outcome}{note}")
        click.echo(f"{len(result.jobs)} jobs done.", err=True)
    if result.has_failures:
        raise click.exceptions.Exit(ExitCode.RUN_FAILED)


def _group_text(stage_ids: list[str]) -> str:
    shown = ", ".join(stage_ids[:5]) + (f" and {len(stage_ids) - 5} more" if len(stage_ids) > 5 else "")
    return shown if len(stage_ids) == 1 else f"[{shown}]"


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"
    )
