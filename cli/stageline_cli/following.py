"""Following a run on the screen: live where there is a terminal, line by line elsewhere."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from stageline_cli.output import duration, event_as_json, print_json_line, styled
from stageline_cli.run_progress import RunProgress, StageProgress, line_of
from stageline_sdk import Client, Event, Run, StageStatus

# When no worker has taken a stage by then, people are told what may be missing.
PATIENCE = timedelta(seconds=3)
_STAGES_SHOWN_MAX = 40

Show = Callable[[Event], None]


async def follow(client: Client, run_id: str, *, as_json: bool = False, quiet: bool = False) -> Run:
    """Shows a run's events until it has ended, and returns it.

    Args:
        client: Speaks to the server.
        run_id: The run.
        as_json: Print each event as a line of JSON instead.
        quiet: Show nothing.

    Raises:
        ApiError: The server refused, or cannot be reached any more.
    """
    if quiet:
        return await _watch(client, run_id, lambda _event: None)
    if as_json:
        return await _watch(client, run_id, lambda event: print_json_line(event_as_json(event)))
    run = await client.get_run(run_id)
    progress = RunProgress.of(run.stages)
    console = Console(stderr=True)
    with _shown(console, run_id, progress) as (show, note):
        hint = asyncio.create_task(_tell_if_nobody_begins(run.workflow_name, progress, note))
        try:
            return await _watch(client, run_id, show)
        finally:
            hint.cancel()
            await asyncio.gather(hint, return_exceptions=True)


async def _watch(client: Client, run_id: str, show: Show) -> Run:
    async with aclosing(client.watch_run(run_id)) as events:
        async for event in events:
            show(event)
    return await client.get_run(run_id)


async def _tell_if_nobody_begins(
    workflow_name: str, progress: RunProgress, note: Callable[[str], None]
) -> None:
    await asyncio.sleep(PATIENCE.total_seconds())
    if not progress.has_begun:
        note(
            f"No worker has taken it yet. Is one that serves {workflow_name} running? "
            "If not: stageline worker module:attribute"
        )


@contextmanager
def _shown(
    console: Console, run_id: str, progress: RunProgress
) -> Iterator[tuple[Show, Callable[[str], None]]]:
    """Gives a function that shows events, and one that shows a note."""
    if not console.is_terminal:

        def show_line(event: Event) -> None:
            progress.take(event)
            click.echo(line_of(event), err=True)

        yield show_line, lambda text: click.echo(text, err=True)
        return

    notes: list[str] = []
    with Live(
        console=console, get_renderable=lambda: _picture(run_id, progress, notes), refresh_per_second=10
    ):
        yield progress.take, notes.append


def _picture(run_id: str, progress: RunProgress, notes: list[str]) -> RenderableType:
    head = (
        f"run {run_id}  {styled(progress.status)}  {progress.completed_count}/{len(progress.stages)} stages"
    )
    parts: list[RenderableType] = [Text.from_markup(head), _stages(list(progress.stages.values()))]
    if not progress.has_begun:
        parts += [Text(note, style="yellow") for note in notes]
    return Group(*parts)


def _stages(stages: list[StageProgress]) -> Table:
    """Shows the stages; of many, those that are under way or have failed come first."""
    picture = Table.grid(padding=(0, 2))
    shown = stages
    if len(stages) > _STAGES_SHOWN_MAX:
        quiet = (StageStatus.PENDING, StageStatus.COMPLETED)
        shown = sorted(stages, key=lambda stage: stage.status in quiet)[:_STAGES_SHOWN_MAX]
    for stage in shown:
        attempt = f"attempt {stage.attempt}" if stage.attempt > 1 else ""
        picture.add_row(
            _mark(stage), escape(stage.id), _bar(stage), _time(stage), attempt, escape(stage.note[:80])
        )
    if len(stages) > len(shown):
        picture.add_row("", f"… and {len(stages) - len(shown)} more")
    return picture


def _mark(stage: StageProgress) -> RenderableType:
    if stage.status is StageStatus.RUNNING:
        return Spinner("dots", style="cyan")
    marks = {
        StageStatus.COMPLETED: "[green]✓[/]",
        StageStatus.FAILED: "[red]✗[/]",
        StageStatus.CANCELLED: "[yellow]■[/]",
        StageStatus.SUSPENDED: "[magenta]⏸[/]",
    }
    return Text.from_markup(marks.get(stage.status, "[dim]·[/]"))


def _bar(stage: StageProgress) -> RenderableType:
    if stage.status is StageStatus.RUNNING and stage.fraction is not None:
        return ProgressBar(total=1.0, completed=stage.fraction, width=20)
    return ""


def _time(stage: StageProgress) -> str:
    if stage.took is not None:
        return duration(stage.took)
    if stage.status is StageStatus.RUNNING and stage.started_at is not None:
        return duration(max(timedelta(0), datetime.now(UTC) - stage.started_at))
    return ""
