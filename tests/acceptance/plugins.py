"""A plugin that notes what it is told in a file, and hangs at one event until a test opens a gate."""

import os
from datetime import timedelta
from pathlib import Path

from stageline_engine.plugins import PluginEvent, define_plugin
from tests.waiting import eventually_sync

FOLDER = Path(os.environ.get("STAGELINE_TEST_NOTES", "."))


@define_plugin("notes", on=["*"], timeout=timedelta(seconds=1))
def notes(event: PluginEvent) -> None:
    """Notes an event; the last one of each run waits for the gate."""
    if event.type == "workflow:cancelled":
        eventually_sync((FOLDER / "gate").exists, what="the gate")
    with (FOLDER / "notes").open("a") as file:
        file.write(f"{event.run_id} {event.sequence}\n")
