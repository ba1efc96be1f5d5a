"""What a run's public events say of it, worked out from the events alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from stageline_engine.records import EventRow

STATE_BY_RUN_EVENT = {
    "workflow:created": "PENDING",
    "workflow:started": "RUNNING",
    "workflow:completed": "COMPLETED",
    "workflow:failed": "FAILED",
    "workflow:cancelled": "CANCELLED",
}
STATE_BY_STAGE_EVENT = {
    "stage:started": "RUNNING",
    "stage:completed": "COMPLETED",
    "stage:retry_scheduled": "PENDING",
    "stage:requeued": "PENDING",
    "stage:cancelled": "CANCELLED",
}


@dataclass
class Story:
    """A run as somebody knows it who has only read its events."""

    state: str = ""
    group: int = 1
    stages: dict[str, str] = field(default_factory=dict)
    completions: list[str] = field(default_factory=list)
    ends: int = 0


def told(events: Sequence[EventRow]) -> Story:
    """Reads a run's events from the first to the last."""
    story = Story()
    for event in events:
        payload = orjson.loads(event.payload)
        if event.type in STATE_BY_RUN_EVENT:
            story.state = STATE_BY_RUN_EVENT[event.type]
            story.ends += story.state in {"COMPLETED", "FAILED", "CANCELLED"}
        elif event.type == "run:advanced":
            story.group += 1
        elif event.type in STATE_BY_STAGE_EVENT:
            story.stages[payload["stage_id"]] = STATE_BY_STAGE_EVENT[event.type]
            if event.type == "stage:completed":
                story.completions.append(payload["stage_id"])
        elif event.type == "stage:failed" and payload["terminal"]:
            story.stages[payload["stage_id"]] = "FAILED"
    return story
