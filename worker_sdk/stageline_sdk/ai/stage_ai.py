"""What a stage has at hand for its AI calls: `ctx.ai`."""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from stageline_sdk.ai.records import CallType, Contents, CostSource, UsageRecord, exact_cost

UsageRecorder = Callable[[UsageRecord], None]
"""Takes the record of a call. Returns at once, from any thread, and loses nothing: the record is kept until the server has it."""


class StageAi:
    """Keeps the books of a stage's AI calls.

    Attributes:
        topic: What records are filed under: the stage's id, and the segments of `child`.
    """

    __slots__ = ("_record", "topic")

    def __init__(self, topic: str, record: UsageRecorder) -> None:
        """Files records under a topic.

        Args:
            topic: A dotted path.
            record: Takes the records.
        """
        self.topic = topic
        self._record = record

    def child(self, *segments: str) -> "StageAi":
        """Return the same with segments added to its topic: `ctx.ai.child("page", "3")` files under `stage.page.3`.

        Raises:
            ValueError: There is no segment, or one is empty.
        """
        return StageAi(self._under(*segments), self._record)

    def record_call(  # noqa: PLR0913 - each is a column of the record, and all are named
        self,
        *,
        model: str = "",
        topic: str = "",
        call_type: CallType = "text",
        cost_usd: Decimal | int | str | None = None,
        cost_source: CostSource = "caller",
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        provider: str = "",
        model_id: str = "",
        prompt: Any = None,
        response: Any = None,
        latency: timedelta | None = None,
        started_at: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
        batch_id: str = "",
        error: str = "",
        contents: Contents | None = None,
        usage_id: str | None = None,
    ) -> str:
        """Book an AI call that was made elsewhere, and return its id. Returns at once.

        The record is sent as it is made and kept until the server has it; it is booked whatever becomes of the stage. Only a
        worker that is killed before it could send may lose one. What is left out is unknown.

        Args:
            model: The name by which the code asked for the model.
            topic: What the call was for; added to the stage's id. Default: the stage's id alone.
            call_type: Its kind.
            cost_usd: In US dollars, exact: a Decimal or a text such as `"0.00123"`.
            cost_source: Where the cost comes from.
            input_tokens: In all, cached ones included.
            output_tokens: In all, reasoning ones included.
            cached_input_tokens: Those that were read from the provider's cache.
            reasoning_tokens: Those that were spent on reasoning.
            provider: Such as `openai`.
            model_id: The provider's id of the model that answered.
            prompt: What was asked; anything that JSON can show. What is kept of it the server's setting says.
            response: What was answered; as `prompt`.
            latency: From the request to the end of the answer.
            started_at: When the request was sent, with a time zone. Default: now.
            metadata: More about it, at most 16 KiB as JSON.
            batch_id: The provider's id of the batch that it was part of.
            error: What went wrong, for a call that failed.
            contents: Keeps less of prompt and response than the server would: `hash` or `none`.
            usage_id: Of calls with one id the first is booked; give a batch's items ids of their own. Default: a new one.

        Raises:
            TypeError: The cost is a float, which cannot hold an amount exactly.
            ValueError: The topic, a count of tokens, the cost or the id breaks its rule.
        """
        record = UsageRecord(
            topic=self._under(topic) if topic else self.topic,
            call_type=call_type,
            model=model,
            model_id=model_id,
            provider=provider,
            prompt=prompt,
            response=response,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_input_tokens=cached_input_tokens,
            reasoning_tokens=reasoning_tokens,
            cost_usd=exact_cost(cost_usd),
            cost_source=cost_source,
            latency=latency,
            started_at=started_at or datetime.now(UTC),
            metadata=metadata or {},
            batch_id=batch_id,
            error=error,
            contents=contents,
            id=usage_id or str(uuid.uuid4()),
        )
        self.record(record)
        return record.id

    def record(self, record: UsageRecord) -> None:
        """Book a record as it is, under its own topic."""
        self._record(record)

    def _under(self, *segments: str) -> str:
        if not segments or not all(segments):
            raise ValueError("a topic's segment must not be empty")
        return ".".join((self.topic, *segments))
