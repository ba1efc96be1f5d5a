"""From what a call took to its record in the ledger: one for each call, whatever becomes of it."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from stageline_sdk._uuid7 import uuid7
from stageline_sdk.ai._backend.metering import Meter
from stageline_sdk.ai.options import Media, Prompt
from stageline_sdk.ai.records import CallType, Contents, UsageRecord
from stageline_sdk.ai.results import CallUsage


@dataclass(slots=True, kw_only=True)
class Entry:
    """A call that will be in the ledger.

    Attributes:
        record: Takes the record.
        meter: What its requests took so far.
        topic: What it is for.
        call_type: Its kind.
        prompt: What is asked, as the ledger shows it.
        metadata: More about it.
        contents: What is kept of prompt and answer; None leaves it to the server.
    """

    record: Callable[[UsageRecord], None]
    meter: Meter
    topic: str
    call_type: CallType
    prompt: Any
    metadata: Mapping[str, Any]
    contents: Contents | None
    record_id: str = field(default_factory=uuid7)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _began: float = field(default_factory=time.monotonic)
    _is_booked: bool = False

    def __post_init__(self) -> None:
        """Have the call announced before its first request is sent."""
        self.meter.begun = self.announce

    def announce(self) -> None:
        """Have the ledger know of the call before it can cost anything: a worker that is killed tells no more."""
        if self.meter.is_dry:
            return
        self.record(
            UsageRecord(
                id=self.record_id,
                topic=self.topic,
                call_type=self.call_type,
                model=self.meter.model.key,
                model_id=self.model_id,
                provider=self.meter.model.provider,
                started_at=self.started_at,
                metadata=dict(self.metadata),
                error="nobody has told yet how this call ended",
                is_open=True,
            )
        )

    def book(self, response: Any = None, error: BaseException | None = None) -> None:
        """Book the call, the first time that it is said; nothing where no model was called."""
        if self._is_booked or not self.meter.sent or self.meter.is_dry:
            return
        self._is_booked = True
        usage, last = self.usage(), self.meter.last
        self.record(
            UsageRecord(
                id=self.record_id,
                topic=self.topic,
                call_type=self.call_type,
                model=self.meter.model.key,
                model_id=self.model_id,
                provider=self.meter.model.provider,
                prompt=self.prompt,
                response=last.text if response is None and last is not None else response,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cached_input_tokens=usage.cached_input_tokens,
                reasoning_tokens=usage.reasoning_tokens,
                cost_usd=usage.cost_usd,
                cost_source=usage.cost_source,
                latency=timedelta(seconds=time.monotonic() - self._began),
                started_at=self.started_at,
                metadata=self._facts() | dict(self.metadata),
                error="" if error is None else _said(error),
                contents=self.contents,
            )
        )

    def usage(self) -> CallUsage:
        """Return what the call took so far."""
        meter = self.meter
        return CallUsage(
            record_id=self.record_id,
            input_tokens=meter.tokens("input_tokens"),
            output_tokens=meter.tokens("output_tokens"),
            cached_input_tokens=meter.tokens("cached_input_tokens"),
            reasoning_tokens=meter.tokens("reasoning_tokens"),
            cost_usd=meter.cost_usd,
            cost_source=meter.cost_source,
            requests=0 if meter.is_dry else meter.sent,
        )

    @property
    def model_id(self) -> str:
        """The provider's id of the model that answered last; before an answer, the one that is asked."""
        responses = self.meter.responses
        return (responses[-1].model_name if responses else None) or self.meter.model.model_id

    def _facts(self) -> dict[str, Any]:
        meter, last = self.meter, self.meter.last
        facts: dict[str, Any] = {"requests": meter.sent}
        if meter.retried:
            facts["retries"] = meter.retried
        if meter.unmeasured:
            facts["unmeasured_requests"] = meter.unmeasured
        if last is not None and last.finish_reason:
            facts["finish_reason"] = last.finish_reason
        return facts


def shown(prompt: Prompt, instructions: str) -> Any:
    """Return a prompt as the ledger shows it: media by type and size, never their bytes."""
    parts: Sequence[str | Media] = [prompt] if isinstance(prompt, str) else prompt
    told = [
        {"media_type": each.media_type, "size_bytes": len(each.data)} if isinstance(each, Media) else each
        for each in parts
    ]
    asked = told[0] if len(told) == 1 else told
    return {"instructions": instructions, "prompt": asked} if instructions else asked


def _said(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return "the call was ended before its answer was complete"
    return f"{type(error).__name__}: {error}"
