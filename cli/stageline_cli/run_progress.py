"""What a run's events say of how far it is: events in, state out, nothing shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from stageline_sdk import Event, RunStatus, StageInfo, StageStatus


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far a stage is.

    Attributes:
        id: Its id.
        status: Where it stands.
        attempt: Its present or last attempt; 0 before the first.
        fraction: Share done, as its code said; None when it said none.
        note: What there is to say of it.
        started_at: When the attempt began.
        took: How long it took, once it has ended.
    """

    id: str
    status: StageStatus = StageStatus.PENDING
    attempt: int = 0
    fraction: float | None = None
    note: str = ""
    started_at: datetime | None = None
    took: timedelta | None = None


@dataclass(slots=True)
class RunProgress:
    """How far a run is.

    Attributes:
        status: Where it stands.
        stages: Its stages by id, in the order of definition.
        error: Why it failed; empty unless it did.
    """

    status: RunStatus = RunStatus.PENDING
    stages: dict[str, StageProgress] = field(default_factory=dict)
    error: str = ""

    @classmethod
    def of(cls, stages: Iterable[StageInfo]) -> "RunProgress":
        """Begins with the stages that a run has; its events tell the rest."""
        return cls(stages={stage.id: StageProgress(stage.id) for stage in stages})

    @property
    def completed_count(self) -> int:
        """How many stages are complete."""
        return sum(stage.status is StageStatus.COMPLETED for stage in self.stages.values())

    @property
    def has_begun(self) -> bool:
        """Whether any stage was taken by a worker."""
        return any(stage.attempt > 0 for stage in self.stages.values())

    def take(self, event: Event) -> None:
        """Takes the next event. Types that are not known are passed over."""
        kind, _, verb = event.type.partition(":")
        if kind == "workflow":
            self._take_workflow(verb, event.payload)
        elif kind == "stage" and event.stage_id:
            before = self.stages.get(event.stage_id, StageProgress(event.stage_id))
            self.stages[event.stage_id] = _after(before, verb, event)
        elif event.type == "run:rerun":
            self.status, self.error = RunStatus.RUNNING, ""

    def _take_workflow(self, verb: str, payload: Mapping[str, Any]) -> None:
        statuses = {
            "started": RunStatus.RUNNING,
            "completed": RunStatus.COMPLETED,
            "failed": RunStatus.FAILED,
            "cancelled": RunStatus.CANCELLED,
        }
        self.status = statuses.get(verb, self.status)
        if verb == "failed":
            error = payload.get("error") or {}
            self.error = str(error.get("message", ""))


def _after(stage: StageProgress, verb: str, event: Event) -> StageProgress:
    payload = event.payload
    match verb:
        case "started":
            attempt = int(payload.get("attempt", stage.attempt + 1))
            return StageProgress(stage.id, StageStatus.RUNNING, attempt, started_at=event.at)
        case "progress":
            return replace(stage, fraction=payload.get("fraction"), note=str(payload.get("message") or ""))
        case "completed":
            return replace(stage, status=StageStatus.COMPLETED, fraction=1.0, note="", took=_took(payload))
        case "failed":
            return _after_failure(stage, payload)
        case "retry_scheduled":
            note = f"{_retry_text(payload)}; {stage.note}"
            return replace(stage, status=StageStatus.PENDING, note=note)
        case "requeued":
            return replace(stage, status=StageStatus.PENDING, note=f"handed on: {payload.get('reason', '')}")
        case "suspended" | "cancelled":
            return replace(stage, status=StageStatus[verb.upper()], note="")
    return stage


def _after_failure(stage: StageProgress, payload: Mapping[str, Any]) -> StageProgress:
    status = StageStatus.FAILED if payload.get("terminal") else StageStatus.PENDING
    return replace(stage, status=status, note=_error_text(payload), fraction=None)


def _error_text(payload: Mapping[str, Any]) -> str:
    error = payload.get("error") or {}
    return f"{error.get('type') or 'Error'}: {error.get('message', '')}"


def _retry_text(payload: Mapping[str, Any]) -> str:
    return f"attempt {payload.get('attempt', '?')} in {float(payload.get('delay_ms', 0)) / 1000:.1f} s"


def _took(payload: Mapping[str, Any]) -> timedelta | None:
    milliseconds = payload.get("duration_ms")
    return None if milliseconds is None else timedelta(milliseconds=float(milliseconds))


def line_of(event: Event) -> str:
    """Returns an event as a line for people."""
    payload = event.payload
    error = payload.get("error") or {}
    details = {
        "stage:started": f"attempt {payload.get('attempt', 1)}",
        "stage:progress": _progress_text(payload),
        "stage:completed": _took_text(payload),
        "stage:failed": _error_text(payload),
        "stage:retry_scheduled": _retry_text(payload),
        "stage:requeued": str(payload.get("reason", "")),
        "workflow:completed": _took_text(payload),
        "workflow:failed": f"{error.get('stage_id', '')}: {error.get('message', '')}".removeprefix(": "),
        "workflow:cancelled": str(payload.get("reason") or ""),
    }.get(event.type, "")
    parts = [
        event.at.astimezone().strftime("%H:%M:%S"),
        event.type,
        event.stage_id,
        " ".join(details.split()),
    ]
    return "  ".join(part for part in parts if part)


def _progress_text(payload: Mapping[str, Any]) -> str:
    fraction = payload.get("fraction")
    share = "" if fraction is None else f"{fraction:.0%} "
    return share + str(payload.get("message") or "")


def _took_text(payload: Mapping[str, Any]) -> str:
    took = _took(payload)
    return "" if took is None else f"in {took.total_seconds():.2f} s"
