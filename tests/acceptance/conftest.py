"""Fixtures that start real processes, and the logs of those processes beside a failure."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.acceptance.ledger import Ledger
from tests.support.processes import Processes
from tests.support.stack import Stack

# Short enough that a killed worker's jobs are soon handed on, long enough for a machine that is busy.
SHORT_SESSIONS = {"STAGELINE_SESSION_TIMEOUT": "3", "STAGELINE_HEARTBEAT_INTERVAL": "0.5"}
# Longer than any outage of a test: what a worker holds stays its own.
LONG_SESSIONS = {"STAGELINE_SESSION_TIMEOUT": "120", "STAGELINE_HEARTBEAT_INTERVAL": "1"}
LOG_CHARACTERS_SHOWN = 12_000


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts processes; what still runs when the test is over is ended."""
    started = Processes(tmp_path / "logs")
    yield started
    started.end()


@pytest.fixture
def stack(processes: Processes, tmp_path: Path) -> Stack:
    """Servers and workers of this test's own, whose sessions time out soon."""
    return Stack(processes, tmp_path, SHORT_SESSIONS)


@pytest.fixture
def patient_stack(processes: Processes, tmp_path: Path) -> Stack:
    """Servers and workers of this test's own, whose sessions outlast every outage."""
    return Stack(processes, tmp_path, LONG_SESSIONS)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """What the stages of this test write to."""
    folder = tmp_path / "ledger"
    folder.mkdir()
    return Ledger(folder)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows what the processes of a failed test said."""
    report = yield
    started = getattr(item, "funcargs", {}).get("processes")
    if report.failed and started is not None:
        for name, text in started.logs():
            report.sections.append((f"log of {name}", text[-LOG_CHARACTERS_SHOWN:]))
    return report
