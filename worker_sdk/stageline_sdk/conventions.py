"""Notes that many tools understand: what triggered a run, what was decided, who approved, what was revised.

    for key, value in Decision(outcome="accept", confidence=0.9).notes().items():
        ctx.annotate(key, value)

    for key, value in Approval(approvers=["jane"]).notes().items():
        client.annotate_run(run_id, key, value, actor="user:jane")

The server enforces none of it. Keys of your own begin with your organisation's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

__all__ = ["Approval", "Decision", "Revision", "Trigger"]


class _Convention:
    """A dataclass whose fields name the keys of notes."""

    def notes(self) -> dict[str, Any]:
        """Return the notes by key, without those that are None; values are JSON values."""
        said = {each.metadata["key"]: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        return {key: _plain(value) for key, value in said.items() if value is not None}


def _key(key: str) -> Any:
    return field(default=None, metadata={"key": key})


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger(_Convention):
    """Why a run was started: `trigger.source`, `.parent_run_id`, `.reason`, `.actor.kind`, `.actor.id`."""

    source: str | None = _key("trigger.source")
    parent_run_id: str | None = _key("trigger.parent_run_id")
    reason: str | None = _key("trigger.reason")
    actor_kind: str | None = _key("trigger.actor.kind")
    actor_id: str | None = _key("trigger.actor.id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(_Convention):
    """What was decided and why: `decision.outcome`, `.rationale`, `.confidence`, `.alternatives`, `.used_fallback`."""

    outcome: Any = _key("decision.outcome")  # noqa: RUF009 - it makes a field
    rationale: str | None = _key("decision.rationale")
    confidence: float | None = _key("decision.confidence")
    alternatives: Sequence[Any] | None = _key("decision.alternatives")
    used_fallback: bool | None = _key("decision.used_fallback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(_Convention):
    """Who approved, when, by which policy: `approval.approvers`, `.timestamp` (ISO 8601), `.policy.version`."""

    approvers: Sequence[str] | None = _key("approval.approvers")
    timestamp: datetime | None = _key("approval.timestamp")  # noqa: RUF009 - it makes a field
    policy_version: str | None = _key("approval.policy.version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision(_Convention):
    """Which run this one revises and why: `revision.previous_run_id`, `revision.reason`."""

    previous_run_id: str | None = _key("revision.previous_run_id")
    reason: str | None = _key("revision.reason")
