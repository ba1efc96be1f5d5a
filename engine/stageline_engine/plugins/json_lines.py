"""A plugin that writes events to a file, one JSON object a line: for other programs to follow, and for a look."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from stageline_engine.plugins.definition import Plugin, PluginEvent, define_plugin


def json_lines(name: str, path: Path | str, *, on: Sequence[str] = ("*",)) -> Plugin:
    """Makes a plugin that appends each event to a file. A line may come twice after a crash, never half.

    Args:
        name: Of the plugin.
        path: The file, made if missing and opened anew for each event, so that it may be rotated; ``-`` is standard output.
        on: Event types, as for ``define_plugin``. Default: all.

    Raises:
        PluginError: As for ``define_plugin``.
    """
    turn = threading.Lock()

    def write(event: PluginEvent) -> None:
        line = event.as_json() + b"\n"
        with turn:
            if str(path) == "-":
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
            else:
                with Path(path).open("ab", buffering=0) as file:
                    file.write(line)

    return define_plugin(name, on, write)
