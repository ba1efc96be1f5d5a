"""AI calls: what each cost, and whether that was wasted.

A call is booked once, by the id that its maker gave it, and never changes, bar one that was told when it began: the record
of its end takes its place. Whether it was wasted is not a fact of the call
but of what became of its attempt afterwards, so it is asked, and stored only when retention takes away
what it is asked of (``docs/decisions/0011``).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from msgspec import Struct

from stageline_engine.model.stage import StageRow, StageState


class CallType(StrEnum):
    """Kinds of AI calls. The names are those of ``stageline.v1.CallType``."""

    TEXT = "TEXT"
    OBJECT = "OBJECT"
    EMBED = "EMBED"
    STREAM = "STREAM"
    BATCH = "BATCH"


class CostSource(StrEnum):
    """Where a cost comes from. The names are those of ``stageline.v1.CostSource``."""

    PROVIDER = "PROVIDER"
    PRICE_LIST = "PRICE_LIST"
    CALLER = "CALLER"


class ContentPolicy(StrEnum):
    """What is kept of prompts and responses, from the laxest on: the texts, only their hashes and sizes, or nothing."""

    FULL = "full"
    HASH = "hash"
    NONE = "none"

    def at_least(self, other: "ContentPolicy") -> "ContentPolicy":
        """Returns the stricter of both."""
        order = list(ContentPolicy)
        return max(self, other, key=order.index)


@dataclass(frozen=True, slots=True)
class Content:
    """A prompt or a response, or what is kept of it.

    Attributes:
        sha256: Of its JSON text.
        size_bytes: Of its JSON text.
        json: The text itself; None where it is not kept.
    """

    sha256: bytes
    size_bytes: int
    json: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AiCall:
    """One call of a model, as its maker tells it.

    Attributes:
        id: Made by the maker; the first record of an id in a namespace counts, an open one until there is one that is not.
        topic: What it was for, as a dotted path.
        call_type: Its kind.
        model_key: The name by which the code asked for the model.
        model_id: The provider's id of the model that answered.
        provider: Such as ``openai``.
        prompt: What was asked; None where the maker or the policy keeps it back.
        response: What was answered.
        input_tokens: In all, cached ones included; None where unknown, as all of these.
        output_tokens: In all, reasoning ones included.
        cached_input_tokens: Those that were read from the provider's cache.
        reasoning_tokens: Those that were spent on reasoning.
        cost: In US dollars, exact; None where unknown, which is not 0.
        cost_source: Where the cost comes from; None exactly where the cost is.
        latency: From the request to the end of the answer.
        started_at: When the request was sent, by the maker's clock; None means when it was booked.
        metadata: JSON text of an object, or empty.
        batch_id: The provider's id of the batch that it was part of; may be empty.
        error_message: What went wrong; empty for a success.
        is_open: It has only begun, as far as is known: what it took is told later, or never.
    """

    id: UUID
    topic: str
    call_type: CallType
    model_key: str = ""
    model_id: str = ""
    provider: str = ""
    prompt: Content | None = None
    response: Content | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: Decimal | None = None
    cost_source: CostSource | None = None
    latency: timedelta | None = None
    started_at: datetime | None = None
    metadata: str = ""
    batch_id: str = ""
    error_message: str = ""
    is_open: bool = False

    @property
    def tokens(self) -> int:
        """Input and output tokens, as far as they are known."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)


@dataclass(frozen=True, slots=True)
class AiCallRow:
    """One row of ``ai_calls``: a call that is booked.

    Attributes:
        namespace: The tenant.
        call: What its maker told.
        started_at: The call's own, or when it was booked.
        recorded_at: When it was booked.
        run_id: The run that it was part of, if any.
        stage_number: The stage that it was part of; 0 for none.
        stage_id: The same by id; empty for none.
        generation: Of the stage, by the lease; 0 without one.
        attempt: Of the stage, by the lease; 0 without one.
        lease_token: The lease under which it was made, if any.
        verdict: Whether it was wasted, for good: its run is forgotten. None while that is asked of the run.
    """

    namespace: str
    call: AiCall
    started_at: datetime
    recorded_at: datetime
    run_id: UUID | None = None
    stage_number: int = 0
    stage_id: str = ""
    generation: int = 0
    attempt: int = 0
    lease_token: UUID | None = None
    verdict: bool | None = None


class LostLease(Struct, frozen=True):
    """A lease that ended without an outcome, so that its work is done again within the same attempt."""

    run_id: UUID
    stage_number: int
    lease_token: UUID


UNSUCCESSFUL = frozenset({StageState.PENDING, StageState.FAILED, StageState.CANCELLED})
"""Where a stage is while no work of its present attempt counts: that has failed, was lost, or ended with the run."""


def is_wasted(call: AiCallRow, stage: StageRow | None, *, lease_lost: bool) -> bool:
    """Says whether a call was made for work that did not count in the end, as far as is known now.

    A call that names no lease is nobody's attempt, and never waste. The ledger's SQL says the same.

    Args:
        call: The call.
        stage: Its stage as it is now; None where a rerun has discarded it.
        lease_lost: Whether its lease ended without an outcome.
    """
    if call.lease_token is None:
        return False
    if call.verdict is not None:
        return call.verdict
    if stage is None or (stage.generation, stage.attempt) != (call.generation, call.attempt):
        return True
    return lease_lost or stage.state in UNSUCCESSFUL
