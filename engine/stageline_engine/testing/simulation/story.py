"""What a run's public events say of it, worked out from the events alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from stageline_engine.records import EventRow

STATE_BY_RUN_EVENT = {
    "workflow:created": "PENDING",
    "workflow:started": "RUNNING",
    "workflow:completed": "COMPLETED",
    "workflow:failed": "FAILED",
    "workflow:cancelled": "CANCELLED",
    "run:rerun": "RUNNING",
}
STATE_BY_STAGE_EVENT = {
    "stage:started": "RUNNING",
    "stage:completed": "COMPLETED",
    "stage:retry_scheduled": "PENDING",
    "stage:requeued": "PENDING",
    "stage:suspended": "SUSPENDED",
    "stage:cancelled": "CANCELLED",
}


@dataclass
class Story:
    """A run as somebody knows it who has only read its events."""

    state: str = ""
    group: int = 0
    stages: dict[str, str] = field(default_factory=dict)
    completions: list[str] = field(default_factory=list)
    ends: int = 0

    def forget(self, from_group: int, groups: Mapping[str, int]) -> None:
        """A rerun: what happened from a group on counts no longer, and the run has not ended."""
        kept = {stage_id for stage_id, group in groups.items() if group < from_group}
        self.stages = {stage_id: state for stage_id, state in self.stages.items() if stage_id in kept}
        self.completions = [stage_id for stage_id in self.completions if stage_id in kept]
        self.group, self.ends = from_group, 0


def told(events: Sequence[EventRow], groups: Mapping[str, int]) -> Story:
    """Reads a run's events from the first to the last, with the group of each stage."""
    story = Story()
    for event in events:
        payload = orjson.loads(event.payload)
        if event.type in STATE_BY_RUN_EVENT:
            story.state = STATE_BY_RUN_EVENT[event.type]
            story.ends += story.state in {"COMPLETED", "FAILED", "CANCELLED"}
            if event.type == "workflow:started":
                story.group = 1
            elif event.type == "run:rerun":
                story.forget(payload["group"], groups)
        elif event.type == "run:advanced":
            story.group = payload["group"]
        elif event.type == "stage:requeued" and story.stages.get(payload["stage_id"]) == "SUSPENDED":
            pass  # its check is handed on; the stage waits as before
        elif event.type in STATE_BY_STAGE_EVENT:
            story.stages[payload["stage_id"]] = STATE_BY_STAGE_EVENT[event.type]
            if event.type == "stage:completed":
                story.completions.append(payload["stage_id"])
        elif event.type == "stage:failed" and payload["terminal"]:
            story.stages[payload["stage_id"]] = "FAILED"
    return story
