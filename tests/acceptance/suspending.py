"""A worker with a thousand stages that wait for a file, and that write down each time that they are run."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from stageline_sdk import Context, NoInput, Stage, StillWaiting, Suspended, Worker, Workflow, stage

FOLDER = "SUSPENDING_FOLDER"
"""The variable that names the folder where stages write, and look for the file."""

STAGES = 1000
FIRST_CHECK = timedelta(seconds=10)


def _folder() -> Path:
    return Path(os.environ[FOLDER])


def _note(file: str, stage_id: str) -> None:
    with (_folder() / file).open("a") as notes:
        notes.write(f"{stage_id}\n")


def _waiting(number: int) -> Stage[Any, Any, Any]:
    @stage(f"wait-{number}", mode="async-batch")
    def wait(ctx: Context[NoInput]) -> int | Suspended:
        _note("begun", ctx.stage_id)
        return Suspended(first_check=FIRST_CHECK, poll_interval=timedelta(seconds=2))

    @wait.check
    def look(ctx: Context[NoInput], state: dict[str, str]) -> int | StillWaiting:
        if not (_folder() / "open").exists():
            return StillWaiting()
        _note("resumed", ctx.stage_id)
        return number

    return wait


worker = Worker(
    Workflow("suspending", input=NoInput).parallel(*(_waiting(n) for n in range(STAGES))).build(),
    concurrency=50,
)
