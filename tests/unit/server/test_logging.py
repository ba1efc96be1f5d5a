"""The server's log, for people and for programs."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from stageline_server.settings import LogFormat, LogLevel
from stageline_server.telemetry.logging import configure_logging


@pytest.fixture(autouse=True)
def _same_logging_afterwards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []  # pytest's own would be closed
    yield
    root.handlers, root.level = handlers, level


def test_programs_get_one_object_a_line() -> None:
    stream = io.StringIO()
    configure_logging(LogLevel.INFO, LogFormat.JSON, stream)
    try:
        raise ValueError("bad\nline")
    except ValueError:
        logging.getLogger("stageline_server.x").exception("it failed: %s", "why")
    (line,) = stream.getvalue().splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == (
        "ERROR",
        "stageline_server.x",
        "it failed: why",
    )
    assert "ValueError: bad" in told["exception"]
    assert told["time"].endswith("+00:00")


def test_what_is_less_grave_is_left_out() -> None:
    stream = io.StringIO()
    configure_logging(LogLevel.WARNING, LogFormat.TEXT, stream)
    logging.getLogger("stageline_server.x").info("quiet")
    logging.getLogger("stageline_server.x").warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()
