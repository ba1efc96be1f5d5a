"""Workflows whose stages do nothing, so that all that is measured is Stageline. Payloads are 200 bytes of JSON."""

from typing import Any

from pydantic import BaseModel

from stageline_sdk import Context, Worker, Workflow, stage

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


ONE_STAGE = Workflow("bench-1", input=Payload).pipe(_step("step-1")).build()
THREE_STAGES = (
    Workflow("bench-3", input=Payload)
    .pipe(_step("step-1"))
    .pipe(_step("step-2"))
    .pipe(_step("step-3"))
    .build()
)

worker = Worker(ONE_STAGE, THREE_STAGES)
