"""Reading the ledger of AI calls. It is written by the kernel alone, with ``usage.record`` and with reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from stageline_engine.model.ai_call import AiCallRow, CallType


class UsageDimension(StrEnum):
    """Something to group AI calls by. The names are those of ``stageline.v1.UsageDimension``."""

    MODEL_KEY = "MODEL_KEY"
    PROVIDER = "PROVIDER"
    TOPIC = "TOPIC"
    RUN = "RUN"
    STAGE = "STAGE"
    CALL_TYPE = "CALL_TYPE"
    DAY = "DAY"


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which AI calls; empty fields do not filter. All given ones must hold.

    Attributes:
        run_id: Booked to this run.
        stage_id: Booked to a stage of this id.
        topic_prefix: Of this topic, or of one under it: ``a.b`` finds ``a.b.c`` and not ``a.bc``.
        model_key: Of this model.
        provider: Of this provider.
        call_type: Of this kind.
        since: Started at this time or later.
        until: Started before this time.
        batch_id: Of this batch.
    """

    run_id: UUID | None = None
    stage_id: str = ""
    topic_prefix: str = ""
    model_key: str = ""
    provider: str = ""
    call_type: CallType | None = None
    since: datetime | None = None
    until: datetime | None = None
    batch_id: str = ""

    def matches(self, row: AiCallRow) -> bool:
        """Whether a call passes."""
        call = row.call
        return (
            self.run_id in (None, row.run_id)
            and self.stage_id in ("", row.stage_id)
            and (not self.topic_prefix or f"{call.topic}.".startswith(f"{self.topic_prefix}."))
            and self.model_key in ("", call.model_key)
            and self.provider in ("", call.provider)
            and self.call_type in (None, call.call_type)
            and (self.since is None or row.started_at >= self.since)
            and (self.until is None or row.started_at < self.until)
            and self.batch_id in ("", call.batch_id)
        )


class BookedCall(NamedTuple):
    """A booked call, and whether it was wasted, as far as is known at the moment of reading."""

    row: AiCallRow
    wasted: bool


class UsagePosition(NamedTuple):
    """Where a listing, the newest first, has come to."""

    started_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """A sum of AI calls.

    Attributes:
        group: The group's values, in the order of the dimensions; days are ``YYYY-MM-DD`` in UTC.
        calls: How many calls.
        input_tokens: Known input tokens.
        output_tokens: Known output tokens.
        cached_input_tokens: Known cached input tokens.
        reasoning_tokens: Known reasoning tokens.
        cost: Known costs, in US dollars.
        unknown_costs: Calls whose cost is unknown, and so not in the sum.
        wasted_calls: Calls for work that did not count in the end.
        wasted_cost: Their known costs, which are in ``cost`` too.
    """

    group: tuple[str, ...] = ()
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal = Decimal(0)
    unknown_costs: int = 0
    wasted_calls: int = 0
    wasted_cost: Decimal = Decimal(0)


class UsageQueries(Protocol):
    """Booked AI calls, as last committed. Another namespace's do not exist for the asker.

    Atomic: each answer is of one moment. Any method may raise ``StorageUnavailableError`` where the database is away.
    """

    async def list_calls(
        self,
        namespace: str,
        which: UsageFilter,
        *,
        after: UsagePosition | None = None,
        limit: int,
        with_contents: bool = False,
    ) -> Sequence[BookedCall]:
        """Returns calls, the newest by their start first, then by id downwards, after a position.

        Args:
            namespace: The tenant.
            which: Which calls.
            after: Where the page before ended; None for the first page.
            limit: Calls at most.
            with_contents: Whether the texts of prompts and responses come along.
        """
        ...

    async def sum_calls(
        self, namespace: str, which: UsageFilter, group_by: Sequence[UsageDimension] = (), *, limit: int
    ) -> Sequence[UsageSum]:
        """Sums calls in groups, the most costly group first, then by its values.

        Without dimensions there is one sum of all, also where there are no calls.
        """
        ...
