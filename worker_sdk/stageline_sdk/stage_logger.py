"""`ctx.log`: lines that are kept with the run."""

from collections.abc import Mapping
from typing import Any

from stageline_sdk._job import ContextSink, LogLevel, LogRecord
from stageline_sdk._payload import clean_text, jsonable_fields

_LEVELS: Mapping[str, LogLevel] = {
    "DEBUG": "DEBUG",
    "INFO": "INFO",
    "WARN": "WARNING",
    "WARNING": "WARNING",
    "ERROR": "ERROR",
}


class StageLogger:
    """Logs lines that are kept with the run: `ctx.log.info("fetched", bytes=10)` or `ctx.log("INFO", "fetched", bytes=10)`.

    It returns at once; lines are sent in batches. Fields may have any value: what JSON cannot show becomes its `repr`.
    DEBUG lines of a stage whose config is a `DebugConfig` are passed over unless `verbose` is set.
    """

    __slots__ = ("_keeps_debug", "_sink")

    def __init__(self, sink: ContextSink, *, keeps_debug: bool = True) -> None:
        self._sink = sink
        self._keeps_debug = keeps_debug

    def __call__(self, level: LogLevel, message: str, /, **fields: Any) -> None:
        """Log a line.

        Args:
            level: DEBUG, INFO, WARNING or ERROR, in any case.
            message: The line; the server cuts it at 16 KiB.
            **fields: Key-value details.

        Raises:
            ValueError: There is no such level.
        """
        known = _LEVELS.get(level.upper())
        if known is None:
            raise ValueError(f"log level must be DEBUG, INFO, WARNING or ERROR, got {level!r}")
        if known == "DEBUG" and not self._keeps_debug:
            return
        self._sink.log(LogRecord(known, clean_text(str(message)), jsonable_fields(fields)))

    def debug(self, message: str, /, **fields: Any) -> None:
        """Log what only the stage's author needs."""
        self("DEBUG", message, **fields)

    def info(self, message: str, /, **fields: Any) -> None:
        """Log what happened."""
        self("INFO", message, **fields)

    def warning(self, message: str, /, **fields: Any) -> None:
        """Log what is not as it should be but does not stop the stage."""
        self("WARNING", message, **fields)

    def error(self, message: str, /, **fields: Any) -> None:
        """Log what went wrong. To fail the stage, raise."""
        self("ERROR", message, **fields)
