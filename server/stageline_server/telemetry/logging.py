"""The server's log: lines on standard error, for people or for programs."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from stageline_server.settings import LogFormat, LogLevel

TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"

# Libraries that tell too much at INFO.
_TALKATIVE = ("alembic", "asyncio", "grpc", "psycopg.pool")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(level: LogLevel, style: LogFormat, stream: TextIO | None = None) -> None:
    """Sends the log of this process to a stream. Call it once, from the command line.

    Args:
        level: The least grave lines to show.
        style: For people or for programs.
        stream: Where to; standard error unless given.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    formatter = JsonFormatter() if style is LogFormat.JSON else logging.Formatter(TEXT_FORMAT)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.value, handlers=[handler], force=True)
    if level is not LogLevel.DEBUG:
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
