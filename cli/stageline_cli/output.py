"""How results are shown: tables for people, JSON for programs."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import click
from pydantic_core import to_jsonable_python
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stageline_sdk import (
    AccessToken,
    Annotation,
    Artifact,
    DeadLetter,
    Event,
    LogLine,
    RegisteredWorkflow,
    Run,
    StageInfo,
    WorkerSession,
)

STATUS_STYLES = {
    "PENDING": "dim",
    "RUNNING": "cyan",
    "SUSPENDED": "magenta",
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "SKIPPED": "dim",
}


def stdout() -> Console:
    """Returns the console for results; wide where it is no terminal, so that pipes get whole lines."""
    console = Console(highlight=False, soft_wrap=False)
    return console if console.is_terminal else Console(highlight=False, width=200)


def print_json(value: Any) -> None:
    """Prints a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """Prints a value as one line of JSON."""
    click.echo(json.dumps(value, ensure_ascii=False))


def run_as_json(run: Run) -> dict[str, Any]:
    """Returns a run as JSON values. Durations are in seconds, and their keys say so."""
    return {
        **_plain(run, leave_out=("stages",)),
        "duration_seconds": _seconds(run.duration),
        "stages": [stage_as_json(stage) for stage in run.stages],
    }


def stage_as_json(stage: StageInfo) -> dict[str, Any]:
    """Returns a stage of a run as JSON values."""
    return {**_plain(stage, leave_out=("active_time",)), "active_seconds": _seconds(stage.active_time)}


def event_as_json(event: Event) -> dict[str, Any]:
    """Returns an event as JSON values."""
    return _plain(event)


def log_line_as_json(line: LogLine) -> dict[str, Any]:
    """Returns a log line as JSON values."""
    return _plain(line)


def annotation_as_json(annotation: Annotation) -> dict[str, Any]:
    """Returns a note on a run as JSON values."""
    return _plain(annotation)


def artifact_as_json(artifact: Artifact) -> dict[str, Any]:
    """Returns an artifact as JSON values."""
    return _plain(artifact)


def worker_as_json(worker: WorkerSession) -> dict[str, Any]:
    """Returns a connected worker as JSON values."""
    return _plain(worker)


def token_as_json(token: AccessToken) -> dict[str, Any]:
    """Returns a token as the JSON that `--json` prints; it has no secret."""
    return _plain(token)


def dead_letter_as_json(letter: DeadLetter) -> dict[str, Any]:
    """Returns an undelivered event as JSON values."""
    return {**_plain(letter, leave_out=("event",)), "event": event_as_json(letter.event)}


def workflow_as_json(workflow: RegisteredWorkflow) -> dict[str, Any]:
    """Returns a workflow as JSON values."""
    return _plain(workflow)


def table(*columns: str) -> Table:
    """Returns an empty table; a column whose name starts with `#` is aligned to the right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        name, is_number = column.removeprefix("#"), column.startswith("#") and len(column) > 1
        made.add_column(
            name or "#", justify="right" if is_number else "left", no_wrap=True, overflow="ellipsis"
        )
    return made


def runs_table(runs: Iterable[Run]) -> Table:
    """Returns a table of runs."""
    made = table("RUN", "WORKFLOW", "STATUS", "CREATED", "#DURATION", "ERROR")
    for run in runs:
        error = escape(one_line(str(run.error))) if run.error else ""
        workflow = f"{run.workflow_name} v{run.workflow_version}"
        made.add_row(
            run.id, workflow, styled(run.status), moment(run.created_at), duration(run.duration), error
        )
    return made


def stages_table(stages: Iterable[StageInfo]) -> Table:
    """Returns a table of a run's stages."""
    made = table("#", "STAGE", "STATUS", "#ATTEMPT", "#TIME", "WORKER", "NOTE")
    for stage in stages:
        made.add_row(
            str(stage.number),
            escape(stage.id),
            styled(stage.status),
            str(stage.attempt or ""),
            duration(_time_of(stage)),
            escape(stage.worker),
            escape(stage_note(stage)),
        )
    return made


def submissions_table(stages: Iterable[StageInfo]) -> Table:
    """Returns a table of what a run's stages submitted elsewhere."""
    made = table("STAGE", "SUBMITTED", "PHASE", "REFERENCE")
    for stage in stages:
        for each in stage.submissions:
            phase = f"[red]{each.phase}[/]" if each.phase == "SUSPECTED" else each.phase
            made.add_row(escape(stage.id), escape(each.key), phase, escape(each.reference))
    return made


def _time_of(stage: StageInfo) -> timedelta | None:
    """Returns how long a stage took; of servers that do not tell, the time from its last start to its end."""
    if stage.active_time or stage.started_at is None:
        return stage.active_time or None
    return stage.ended_at - stage.started_at if stage.ended_at else None


def stage_note(stage: StageInfo) -> str:
    """Returns what there is to say of a stage, in a few words."""
    if stage.error is not None and stage.status != "COMPLETED":
        return one_line(
            f"{stage.error.type}: {stage.error.message}" if stage.error.type else stage.error.message
        )
    if stage.waits_detail:
        return one_line(f"waits: {stage.waits_detail}")
    if stage.waits_for == "NO_WORKER":
        return "waits: no worker that has it is connected"
    if stage.waits_for and stage.waits_for != "EARLIER_GROUP":
        return f"waits: {stage.waits_for.lower().replace('_', ' ')}"
    if stage.status not in {"RUNNING", "SUSPENDED"}:
        return ""
    share = "" if stage.progress is None else f"{stage.progress:.0%}"
    return one_line(f"{share} {stage.progress_message}".strip())


def styled(status: str) -> str:
    """Returns a status in its colour."""
    style = STATUS_STYLES.get(status)
    return f"[{style}]{status}[/]" if style else status


def duration(value: timedelta | None) -> str:
    """Returns a duration as `1.23 s`, `4 min 05 s` or `2 h 03 min`; nothing for none."""
    if value is None:
        return ""
    seconds = value.total_seconds()
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def moment(value: datetime) -> str:
    """Returns a time in the reader's time zone."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def to_plain(value: Any) -> Any:
    """Returns any value of the SDK as JSON values."""
    return to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="strings")


def _plain(value: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(value)
    return {key: each for key, each in plain.items() if key not in leave_out}


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else round(value.total_seconds(), 6)


def one_line(text: str, length_max: int = 100) -> str:
    """Returns a text on one line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= length_max else line[: length_max - 1] + "…"
