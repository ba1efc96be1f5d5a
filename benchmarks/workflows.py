"""Workflows whose stages do nothing, so that all that is measured is Stageline. Payloads are 200 bytes of JSON."""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from stageline_sdk import Context, NoInput, StillWaiting, Suspended, Worker, Workflow, stage

PAYLOAD_BYTES = 200


class Payload(BaseModel):
    """Input and output of every stage."""

    text: str


PAYLOAD = Payload(text="x" * (PAYLOAD_BYTES - len('{"text":""}'))).model_dump_json()
INPUT = Payload.model_validate_json(PAYLOAD)


def _step(stage_id: str) -> Any:
    @stage(stage_id)
    async def step(ctx: Context[Payload]) -> Payload:
        return ctx.input

    return step


def _line(name: str, stages: int) -> Any:
    workflow: Any = Workflow(name, input=Payload)
    for number in range(1, stages + 1):
        workflow = workflow.pipe(_step(f"step-{number}"))
    return workflow.build()


@stage("join")
async def join(ctx: Context[NoInput]) -> Payload:
    """Follows a group, and reads nothing of it."""
    return INPUT


def _wide(stages: int) -> Any:
    steps = [_step(f"step-{number}") for number in range(1, stages + 1)]
    return Workflow(f"bench-wide-{stages}", input=Payload).parallel(*steps).pipe(join).build()


@stage("wait", mode="async-batch")
async def wait(ctx: Context[Payload]) -> Payload | Suspended:
    """Waits for a check that only the benchmark makes due."""
    return Suspended(first_check=timedelta(hours=1))


@wait.check
async def look(ctx: Context[NoInput], state: dict[str, str]) -> Payload | StillWaiting:
    """The work outside is done at the first look."""
    return INPUT


ONE_STAGE = _line("bench-1", 1)
THREE_STAGES = _line("bench-3", 3)
WIDE_100 = _wide(100)
WIDE_1000 = _wide(1000)
SUSPENDING = Workflow("bench-suspended", input=Payload).pipe(wait).build()

# Those that no worker process serves: sessions of the benchmark do, or nobody.
ECHOED = _line("bench-echoed", 3)
QUEUED = _line("bench-queued", 3)

worker = Worker(ONE_STAGE, THREE_STAGES, WIDE_100, WIDE_1000, SUSPENDING)
