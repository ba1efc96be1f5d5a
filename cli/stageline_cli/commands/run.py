"""`stageline run`: start, read, watch and change runs."""

from datetime import datetime, timedelta
from typing import Any

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_cli.durations import duration_of, moment_of
from stageline_cli.exit_codes import ExitCode
from stageline_cli.json_arguments import JsonType, LabelType
from stageline_cli.lazy import LazyCommand, LazyGroup
from stageline_sdk import Client, LogLine, Run, RunStatus

STATUSES = [status.value for status in RunStatus if status is not RunStatus.UNSPECIFIED]
LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]


CHANGES = {
    "rerun": LazyCommand(
        "stageline_cli.commands.run_changes:rerun", "Run an ended run again, from a stage on."
    ),
    "resume": LazyCommand("stageline_cli.commands.run_changes:resume", "End the wait of a suspended stage."),
    "artifacts": LazyCommand(
        "stageline_cli.commands.run_artifacts:artifacts",
        "List, get, put and delete what a run keeps by name.",
    ),
    "annotate": LazyCommand("stageline_cli.commands.run_changes:annotate", "Make a note on a run."),
    "annotations": LazyCommand("stageline_cli.commands.run_changes:annotations", "Show the notes on a run."),
}


@click.group(cls=LazyGroup, commands_by_name=CHANGES, context_settings={"max_content_width": 100})
def run() -> None:
    """Start, read, watch and change runs.

    \b
    Examples:
      stageline run start document-processor --input '{"url": "file:///tmp/a.md"}' --wait
      stageline run list --status FAILED --limit 10
      stageline run watch 0192f0c1-...
    """  # noqa: D301 - click reads the control character


@run.command()
@click.argument("workflow")
@click.option("--input", "input_", type=JsonType(), default=None, help="The run's input. [default: {}]")
@click.option(
    "--config", type=JsonType(is_object=True), help="Config by stage id, over the stages' defaults."
)
@click.option(
    "--priority", type=click.IntRange(0, 100), default=5, show_default=True, help="Higher runs first."
)
@click.option("--label", "labels", type=LabelType(), multiple=True, help="To find it by; may be repeated.")
@click.option("--version", type=click.IntRange(min=1), help="Version of the workflow. [default: the latest]")
@click.option(
    "--start-at",
    type=moment_of,
    metavar="TIME",
    help="Not before this time; local time without a zone. [default: at once]",
)
@click.option(
    "--delay", type=duration_of, metavar="DURATION", help="So long from now instead: 90s, 30m, 12h, 7d."
)
@click.option("--request-id", help="Makes a repetition safe: the same id starts one run only.")
@click.option(
    "--wait", is_flag=True, help="Show its progress until it has ended; exit with 1 unless it completes."
)
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
@target_options
def start(  # noqa: PLR0913, PLR0917 - one parameter for each option
    workflow: str,
    input_: Any,
    config: dict[str, Any] | None,
    priority: int,
    labels: tuple[tuple[str, str], ...],
    version: int | None,
    start_at: datetime | None,
    delay: timedelta | None,
    request_id: str | None,
    wait: bool,
    as_json: bool,
    address: str | None,
    namespace: str,
) -> None:
    """Start a run of WORKFLOW.

    \b
    Examples:
      stageline run start hello --input '{"name": "Ada"}' --wait
      stageline run start hello --input @input.json --config '{"greet": {"loud": true}}'
      cat input.json | stageline run start hello --input - --json
      stageline run start hello --input '{"name": "Ada"}' --start-at 2026-08-01T09:00Z
      stageline run start hello --input '{"name": "Ada"}' --delay 30m --request-id greet-ada
    """  # noqa: D301 - click reads the control character
    from stageline_cli.following import follow

    if start_at is not None and delay is not None:
        raise click.UsageError("Give --start-at or --delay, not both.")

    async def begin(client: Client) -> Run:
        made = await client.create_run(
            workflow,
            {} if input_ is None else input_,
            config=config,
            priority=priority,
            labels=dict(labels),
            version=version or 0,
            request_id=request_id,
            start=start_at or delay,
        )
        if not wait:
            return made
        if not as_json:
            click.echo(f"run {made.id}", err=True)
        return await _followed(made.id, follow(client, made.id, quiet=as_json))

    made = speak(Target(address, namespace), begin)
    if wait:
        _show_end(made, as_json=as_json)
    elif as_json:
        _print_json(made)
    else:
        click.echo(made.id)
        click.echo(f"Follow it with: stageline run watch {made.id}", err=True)


@run.command()
@click.argument("run_id")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
@target_options
def get(run_id: str, as_json: bool, address: str | None, namespace: str) -> None:
    """Show a run: where it stands, its stages, its output.

    \b
    Examples:
      stageline run get 0192f0c1-...
      stageline run get 0192f0c1-... --json | jq .output
    """  # noqa: D301 - click reads the control character
    found = speak(Target(address, namespace), lambda client: client.get_run(run_id))
    if as_json:
        _print_json(found)
    else:
        _show(found)


@run.command("list")
@click.option("--workflow", default="", help="Only runs of this workflow.")
@click.option(
    "--status",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Only runs in this status; may be repeated.",
)
@click.option(
    "--label", "labels", type=LabelType(), multiple=True, help="Only runs with this label; may be repeated."
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print the runs as a JSON array.")
@target_options
def list_(
    workflow: str,
    status: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    limit: int,
    as_json: bool,
    address: str | None,
    namespace: str,
) -> None:
    """List runs, the newest first.

    \b
    Examples:
      stageline run list
      stageline run list --workflow document-processor --status FAILED --status CANCELLED
    """  # noqa: D301 - click reads the control character
    from stageline_cli.output import print_json, run_as_json, runs_table, stdout

    async def read(client: Client) -> list[Run]:
        found = client.list_runs(workflow=workflow, status=status, labels=dict(labels), limit=limit)
        return [each async for each in found]

    runs = speak(Target(address, namespace), read)
    if as_json:
        print_json([run_as_json(each) for each in runs])
    elif runs:
        stdout().print(runs_table(runs))
    else:
        click.echo("No runs. Start one: stageline run start WORKFLOW --input JSON", err=True)


@run.command()
@click.argument("run_id")
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
@target_options
def watch(run_id: str, as_json: bool, address: str | None, namespace: str) -> None:
    """Follow a run until it has ended; exit with 1 unless it completes.

    Ctrl-C ends the watching, never the run.
    """
    from stageline_cli.following import follow

    async def see(client: Client) -> Run:
        return await _followed(run_id, follow(client, run_id, as_json=as_json))

    ended = speak(Target(address, namespace), see)
    if as_json:  # The events said it all.
        _exit_for(ended)
    else:
        _show_end(ended, as_json=False)


@run.command()
@click.argument("run_id")
@click.option("--reason", default="", help="Why, for people.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
@target_options
def cancel(run_id: str, reason: str, as_json: bool, address: str | None, namespace: str) -> None:
    """Cancel a run that has not ended. Its stages are told to stop; cancelling it again changes nothing."""
    cancelled = speak(Target(address, namespace), lambda client: client.cancel_run(run_id, reason))
    if as_json:
        _print_json(cancelled)
    else:
        click.echo(f"run {cancelled.id} is {cancelled.status}")


@run.command()
@click.argument("run_id")
@click.option("--stage", "stage_id", default="", help="Only lines of this stage.")
@click.option(
    "--level", type=click.Choice(LEVELS, case_sensitive=False), default="DEBUG", help="This level or graver."
)
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines, until the run has ended.")
@click.option("--json", "as_json", is_flag=True, help="Print each line as a line of JSON.")
@target_options
def logs(
    run_id: str,
    stage_id: str,
    level: Any,
    follow: bool,
    as_json: bool,
    address: str | None,
    namespace: str,
) -> None:
    """Print what a run's stages logged so far, or, with --follow, as it comes."""
    from stageline_cli.output import log_line_as_json, print_json_line

    async def read(client: Client) -> None:
        async for line in client.list_logs(run_id, stage_id=stage_id, level=level.upper(), follow=follow):
            if as_json:
                print_json_line(log_line_as_json(line))
            else:
                click.echo(_log_text(line))

    speak(Target(address, namespace), read)


async def _followed(run_id: str, following: Any) -> Run:
    """Await a following; when it is interrupted, say that the run is not."""
    import asyncio

    try:
        ended: Run = await following
    except asyncio.CancelledError:
        click.echo(f"\nThe run goes on. Follow it again with: stageline run watch {run_id}", err=True)
        raise
    return ended


def _show(found: Run) -> None:
    from rich.markup import escape

    from stageline_cli.output import duration, moment, stages_table, stdout, styled, submissions_table

    console = stdout()
    console.print(f"run       {found.id}")
    console.print(f"workflow  {found.workflow_name} v{found.workflow_version}")
    console.print(f"status    {styled(found.status)}  {duration(found.duration)}")
    console.print(f"created   {moment(found.created_at)}")
    if found.start_at is not None and found.started_at is None:
        console.print(f"starts    {moment(found.start_at)}")
    if found.ai_call_count:
        unknown = f", {found.unknown_cost_count} of unknown cost" if found.unknown_cost_count else ""
        console.print(
            f"cost      {found.total_cost_usd} USD, {found.wasted_cost_usd} of it wasted; "
            f"{found.ai_call_count} AI calls{unknown}"
        )
    if found.error is not None:
        console.print(f"error     [red]{escape(str(found.error))}[/]")
    if found.cancel_reason:
        console.print(f"reason    {escape(found.cancel_reason)}")
    console.print(stages_table(found.stages))
    if any(stage.submissions for stage in found.stages):
        console.print(submissions_table(found.stages))
    if found.status is RunStatus.COMPLETED:
        _print_output(found)


def _show_end(ended: Run, *, as_json: bool) -> None:
    """Show how a run ended, and exit accordingly."""
    if as_json:
        _print_json(ended)
    elif ended.status is RunStatus.COMPLETED:
        _print_output(ended)
    elif ended.error is not None:
        click.echo(f"The run failed: {ended.error}", err=True)
        click.echo(f"More: stageline run get {ended.id}; stageline run logs {ended.id}", err=True)
    else:
        reason = f": {ended.cancel_reason}" if ended.cancel_reason else ""
        click.echo(f"The run is {ended.status}{reason}", err=True)
    _exit_for(ended)


def _exit_for(ended: Run) -> None:
    if ended.status is not RunStatus.COMPLETED:
        raise click.exceptions.Exit(ExitCode.RUN_FAILED)


def _print_output(ended: Run) -> None:
    from stageline_cli.output import print_json, to_plain

    print_json(to_plain(ended.output))


def _print_json(found: Run) -> None:
    from stageline_cli.output import print_json, run_as_json

    print_json(run_as_json(found))


def _log_text(line: LogLine) -> str:
    at = line.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    fields = "".join(f"  {key}={value}" for key, value in line.fields.items())
    return f"{at}  {line.level:<7}  {line.stage_id}  {line.message}{fields}"
