"""What the demo shows: progress while it runs, a table and the throughput at the end."""

from datetime import timedelta
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.demo.runs import Batch, Outcome
from examples.document_processor import document_processor
from stageline_sdk import Event

NAME_CHARACTERS_MAX = 44
STAGES = tuple(stage.id for group in document_processor.groups for stage in group)
# Without a terminal there is no bar that moves; a line now and then says that it goes on.
LINE_EVERY_DOCUMENTS = 25
MOOD_STYLES = {"positive": "green", "negative": "red", "neutral": "dim"}


class LiveProgress:
    """Bars for the documents and for each stage, fed by the events of the runs."""

    def __init__(self, console: Console, documents_total: int) -> None:
        self._console = console
        self._total = documents_total
        self._finished = 0
        self._failed = 0
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._documents = self._progress.add_task("documents", total=documents_total, note="")
        self._stages = {
            stage: self._progress.add_task(f"  {stage}", total=documents_total, note="") for stage in STAGES
        }

    def on_event(self, event: Event) -> None:
        """Counts a stage that completed."""
        if event.type == "stage:completed" and event.stage_id in self._stages:
            self._progress.advance(self._stages[event.stage_id])

    def on_outcome(self, outcome: Outcome) -> None:
        """Counts a document that is done."""
        self._finished += 1
        self._failed += outcome.report is None
        note = f"[red]{self._failed} failed" if self._failed else ""
        self._progress.update(self._documents, completed=self._finished, note=note)
        if not self._console.is_terminal and self._finished % LINE_EVERY_DOCUMENTS == 0:
            self._console.print(f"{self._finished} of {self._total} documents, {self._failed} failed")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def table(batch: Batch) -> Table:
    """One row for each document; those that failed come last, with their reasons."""
    shown = Table(title="Documents", header_style="bold", row_styles=("", "on grey7"))
    shown.add_column("Document", no_wrap=True)
    shown.add_column("Stages", justify="right")
    shown.add_column("Words", justify="right")
    shown.add_column("Keywords", overflow="fold", ratio=1)
    shown.add_column("Language")
    shown.add_column("Sentiment")
    shown.add_column("Time", justify="right")
    for outcome in sorted(batch.outcomes, key=lambda outcome: outcome.report is None):
        shown.add_row(*row(outcome))
    return shown


def row(outcome: Outcome) -> tuple[str, str, str, str, str, str, str]:
    """The cells of one document."""
    name = escape(short_name(outcome.url))
    stages = f"{outcome.stages_done}/{outcome.stages_total}"
    time = seconds(outcome.duration)
    report = outcome.report
    if report is None:
        return f"[red]{name}", stages, "", f"[red]{escape(outcome.reason)}", "", "[red]failed", time
    mood, score = report.sentiment, report.sentiment_score
    sentiment = "-" if mood is None else f"[{MOOD_STYLES[mood]}]{mood} {score:+.2f}"
    words = f"{report.word_count:,}"
    return name, stages, words, escape(", ".join(report.keywords)), report.language, sentiment, time


def summary(batch: Batch) -> str:
    """The throughput in one line."""
    total = batch.duration.total_seconds()
    count = len(batch.outcomes)
    words = sum(outcome.report.word_count for outcome in batch.outcomes if outcome.report)
    rate = f"{count / total:.1f} documents/s, {batch.stages_done / total:.0f} stages/s" if total else ""
    failed = f", {batch.failed_count} failed" if batch.failed_count else ""
    return f"{count} documents, {words:,} words, {batch.stages_done} stages in {seconds(batch.duration)}: {rate}{failed}"


def short_name(url: str) -> str:
    """The end of an address: its last folder and its name."""
    parts = urlsplit(url)
    folders = [part for part in unquote(parts.path).split("/") if part]
    # A licence is called LICENSE in every package: the package is what tells it apart.
    package = next(
        (part.removesuffix(".dist-info") for part in folders[:-1] if part.endswith(".dist-info")), None
    )
    name = f"{package}/{folders[-1]}" if package else "/".join(folders[-2:])
    if parts.netloc:
        name = f"{parts.netloc}/{name}"
    return name if len(name) <= NAME_CHARACTERS_MAX else f"...{name[3 - NAME_CHARACTERS_MAX :]}"


def seconds(duration: timedelta) -> str:
    """A duration for people."""
    total = duration.total_seconds()
    return f"{total * 1000:.0f} ms" if total < 1 else f"{total:.1f} s"
