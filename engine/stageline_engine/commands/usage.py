"""Booking AI calls."""

from dataclasses import dataclass
from uuid import UUID

from stageline_engine.commands.base import Command
from stageline_engine.model.ai_call import AiCall


@dataclass(frozen=True, slots=True)
class RecordAiCall(Command["AiCallRecorded"]):
    """``usage.record``: book an AI call, whatever became of its stage. Idempotent by the call's id.

    Reached by ``UsageService.RecordUsage``, and by ``WorkerService.Work``.

    Attributes:
        namespace: The tenant.
        call: What its maker tells.
        run_id: The run that it was part of; None for none.
        stage_number: Its stage, where a lease names it; 0 else.
        stage_id: Its stage, where no lease names it; empty for none.
        lease_token: The lease under which it was made, live or not.
    """

    namespace: str
    call: AiCall
    run_id: UUID | None = None
    stage_number: int = 0
    stage_id: str = ""
    lease_token: UUID | None = None


@dataclass(frozen=True, slots=True)
class AiCallRecorded:
    """Result of ``RecordAiCall``: the call is on record; ``replayed`` where it had been before."""

    replayed: bool
