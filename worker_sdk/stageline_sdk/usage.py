"""The ledger of AI calls as a client reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from stageline_sdk.ai.records import CallType

UsageDimension = Literal["model", "provider", "topic", "run", "stage", "type", "day"]
"""What calls can be grouped by; `day` is in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Which calls are meant. What is left out does not filter; all that is given must hold.

    Attributes:
        run_id: Of this run, also of one that was purged since.
        stage_id: Of this stage.
        topic: This topic and what is under it: `run.1` finds `run.1.page`, never `run.10`.
        model: Asked for by this name.
        provider: Of this provider.
        call_type: Of this kind.
        since: Begun at this time or later.
        until: Begun before this time.
        batch_id: Of this batch of the provider's.
    """

    run_id: str = ""
    stage_id: str = ""
    topic: str = ""
    model: str = ""
    provider: str = ""
    call_type: CallType | None = None
    since: datetime | None = None
    until: datetime | None = None
    batch_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedCall:
    """An AI call that is on record. What is unknown is None, which is not 0.

    Attributes:
        id: Its id.
        topic: What it was for.
        call_type: Its kind: text, object, embed, stream or batch.
        model: The name by which the code asked for the model.
        model_id: The provider's id of the model that answered.
        provider: Such as `openai`.
        input_tokens: In all.
        output_tokens: In all.
        cached_input_tokens: Those that were read from the provider's cache.
        reasoning_tokens: Those that were spent on reasoning.
        cost_usd: In US dollars, exact.
        cost_source: Where the cost comes from: provider, price-list or caller; empty where it is unknown.
        latency: From the request to the end of the answer.
        started_at: When the request was sent.
        metadata: More about it.
        batch_id: The provider's id of the batch that it was part of.
        error: What went wrong; empty for a success.
        run_id: The run that it was part of; empty for none.
        stage_id: The stage that it was part of; empty for none.
        generation: Of the stage.
        attempt: Of the stage.
        wasted: Whether it was made for work that did not count in the end, as far as is known now.
        prompt: What was asked, as JSON values; a `StoredPayload` where only its hash is kept or was asked for; None where
            nothing is kept.
        response: What was answered, likewise.
    """

    id: str
    topic: str
    call_type: str
    model: str
    model_id: str
    provider: str
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: Decimal | None
    cost_source: str
    latency: timedelta | None
    started_at: datetime
    metadata: Mapping[str, Any]
    batch_id: str
    error: str
    run_id: str
    stage_id: str
    generation: int
    attempt: int
    wasted: bool
    prompt: Any = None
    response: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """The sum of a group of AI calls.

    Attributes:
        group: The values that its calls share, in the order of the dimensions.
        call_count: Calls.
        input_tokens: Those that are known.
        output_tokens: Those that are known.
        cached_input_tokens: Those that are known.
        reasoning_tokens: Those that are known.
        cost_usd: What is known of their costs.
        unknown_cost_count: Calls whose cost is unknown, and so not in `cost_usd`.
        wasted_call_count: Calls for work that did not count in the end.
        wasted_cost_usd: Their known costs, which are part of `cost_usd`.
    """

    group: tuple[str, ...]
    call_count: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    reasoning_tokens: int
    cost_usd: Decimal
    unknown_cost_count: int
    wasted_call_count: int
    wasted_cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedUsage:
    """What became of records.

    Attributes:
        recorded_count: Booked by this call.
        already_recorded_count: Booked before.
        refused: Why others were not booked, by their ids. They never will be as they are.
    """

    recorded_count: int
    already_recorded_count: int
    refused: Mapping[str, str]
