"""What the demo says at the end, for outcomes of every kind."""

import io
from datetime import timedelta

import pytest
from rich.console import Console

from examples.demo.display import LiveProgress, short_name, summary, table
from examples.demo.runs import Batch, Outcome
from examples.document_processor import Report

REPORT = Report(
    format="Markdown",
    word_count=1234,
    keywords=["control plane", "[bold]worker"],
    language="en",
    sentiment="positive",
    sentiment_score=0.25,
)
GOOD = Outcome("file:///docs/README.md", REPORT, 5, 5, timedelta(milliseconds=1500))
GERMAN = Outcome(
    "file:///docs/LIES.md",
    REPORT.model_copy(update={"language": "de", "sentiment": None, "sentiment_score": None}),
    5,
    5,
    timedelta(milliseconds=20),
)
BAD = Outcome("file:///docs/none.md", None, 0, 5, timedelta(0), "stage 'extract-text': there is no [file]")


def rendered(batch: Batch) -> str:
    console = Console(file=io.StringIO(), width=150)
    console.print(table(batch))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if name in line)


def test_every_column_of_a_document_is_shown() -> None:
    line = line_of(rendered(Batch([GOOD], timedelta(seconds=1))), "README.md")
    for cell in (
        "docs/README.md",
        "5/5",
        "1,234",
        "control plane, [bold]worker",
        "en",
        "positive +0.25",
        "1.5 s",
    ):
        assert cell in line


def test_no_sentiment_is_shown_as_none() -> None:
    line = line_of(rendered(Batch([GERMAN], timedelta(seconds=1))), "LIES.md")
    assert "│ -" in line
    assert "20 ms" in line


def test_failures_come_last_with_their_reason() -> None:
    text = rendered(Batch([BAD, GOOD], timedelta(seconds=1)))
    assert text.index("README.md") < text.index("none.md")
    line = line_of(text, "none.md")
    assert "there is no [file]" in line
    assert "failed" in line
    assert "0/5" in line


def test_the_summary_counts_and_divides() -> None:
    text = summary(Batch([GOOD, GERMAN, BAD], timedelta(seconds=2)))
    assert text == "3 documents, 2,468 words, 10 stages in 2.0 s: 1.5 documents/s, 5 stages/s, 1 failed"
    assert summary(Batch([], timedelta(0))).startswith("0 documents")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("file:///a/b/README.md", "b/README.md"),
        ("file:///README.md", "README.md"),
        ("file:///lib/rich-14.0.dist-info/licenses/LICENSE", "rich-14.0/LICENSE"),
        ("https://example.org/", "example.org/"),
        ("https://example.org/a%20b/c", "example.org/a b/c"),
    ],
)
def test_names_are_short_and_telling(url: str, name: str) -> None:
    assert short_name(url) == name


def test_long_names_keep_their_end() -> None:
    name = short_name("file:///x/" + "y" * 100 + ".md")
    assert len(name) == 44
    assert name.startswith("...")
    assert name.endswith("y.md")


def test_without_a_terminal_progress_is_a_line_now_and_then() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    with LiveProgress(console, 50) as progress:
        for _ in range(49):
            progress.on_outcome(GOOD)
        progress.on_outcome(BAD)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "25 of 50 documents, 0 failed",
        "50 of 50 documents, 1 failed",
    ]
