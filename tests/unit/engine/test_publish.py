"""The public form of every event: its name and its payload to the last key."""

import typing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from msgspec import structs

from stageline_engine import events
from stageline_engine.apply import Focus
from stageline_engine.events import Annotation, StageError
from stageline_engine.limits import EVENT_OUTPUT_BYTES_MAX
from stageline_engine.model.ai_call import AiCallRow
from stageline_engine.model.job import JobKind, JobState
from stageline_engine.model.run import RunError, RunState
from stageline_engine.model.stage import StageState
from stageline_engine.publish import publish
from stageline_engine.testing.ai_calls import ai_call
from tests.unit.engine.test_decide_submissions import submission
from tests.unit.engine.test_transitions import job_in, run_in, stage_in
from tests.unit.engine.views import LATER, NOW, SESSION_ID, TOKEN

RUN = run_in(RunState.RUNNING)
BEFORE = Focus(RUN, stage_in(StageState.RUNNING), job_in(JobState.LEASED))
ERROR = StageError("KeyError", "no such key", "secret stack")
TOTALS = {"duration_ms": 3000, "total_cost": "0", "total_tokens": 0}

SAID = Annotation(
    "n-1",
    "decision.outcome",
    '{"yes": true}',
    '{"why": 1}',
    "stage",
    "a",
    "human",
    "ada",
    "2",
    False,
    1,
    1,
    2,
)

CASES: list[tuple[events.Event, list[tuple[str, dict[str, Any]]]]] = [
    (
        events.RunCreated(RUN, "{}", "{}", {"k": "v"}),
        [("workflow:created", {"workflow_name": "flow", "workflow_version": 1, "priority": 5})],
    ),
    (events.RunStarted(), [("workflow:started", {})]),
    (events.RunAdvanced(1, ("a",)), []),
    (events.RunAdvanced(2, ("b", "c")), [("run:advanced", {"group": 2, "stage_ids": ["b", "c"]})]),
    (events.StageScheduled(1, "a", 1, 101), []),
    (
        events.RunCompleted({"d": '{"n": 1.50}'}),
        [("workflow:completed", {**TOTALS, "output": {"n": 1.5}})],
    ),
    (
        events.RunCompleted({"b": "1", "c": "null"}),
        [("workflow:completed", {**TOTALS, "output": {"b": 1, "c": None}})],
    ),
    (events.RunCompleted(None), [("workflow:completed", {**TOTALS, "output_omitted": True})]),
    (
        events.RunFailed(RunError("E", "m", "a")),
        [("workflow:failed", {"error": {"code": "E", "message": "m", "stage_id": "a"}, **TOTALS})],
    ),
    (events.RunCancelled("why"), [("workflow:cancelled", {"reason": "why"})]),
    (
        events.StageStarted(1, "a", "Name", JobKind.EXECUTE, 2, 3, TOKEN, SESSION_ID),
        [
            (
                "stage:started",
                {
                    "stage_id": "a",
                    "stage_name": "Name",
                    "stage_number": 1,
                    "generation": 1,
                    "attempt": 2,
                    "delivery": 3,
                },
            )
        ],
    ),
    (
        events.StageProgressed(1, "a", 0.25, "on", {"pages": 3}),
        [("stage:progress", {"stage_id": "a", "fraction": 0.25, "message": "on", "details": {"pages": 3}})],
    ),
    (
        events.StageProgressed(1, "a", None, ""),
        [("stage:progress", {"stage_id": "a", "message": "", "details": {}})],
    ),
    (
        events.StageCompleted(1, "a", '"out"', {"pages": 3.5}),
        [
            (
                "stage:completed",
                {"stage_id": "a", "attempt": 1, "duration_ms": 3000, "metrics": {"pages": 3.5}},
            )
        ],
    ),
    (
        events.StageFailed(1, "a", ERROR),
        [
            (
                "stage:failed",
                {
                    "stage_id": "a",
                    "error": {"type": "KeyError", "message": "no such key"},
                    "attempt": 1,
                    "terminal": True,
                },
            )
        ],
    ),
    (
        events.StageRetryScheduled(1, "a", ERROR, 1, timedelta(milliseconds=1500), LATER),
        [
            (
                "stage:failed",
                {
                    "stage_id": "a",
                    "error": {"type": "KeyError", "message": "no such key"},
                    "attempt": 1,
                    "terminal": False,
                },
            ),
            ("stage:retry_scheduled", {"stage_id": "a", "attempt": 2, "delivery": 1, "delay_ms": 1500}),
        ],
    ),
    (
        events.StageRequeued(1, "a", "lease_expired", counted=True),
        [("stage:requeued", {"stage_id": "a", "reason": "lease_expired", "delivery": 1})],
    ),
    (events.StageCancelled(1, "a"), [("stage:cancelled", {"stage_id": "a"})]),
    (
        events.RunRerun("b", 2, 3, "a better prompt", LATER, '{"b":{}}'),
        [
            (
                "run:rerun",
                {"from_stage_id": "b", "group": 2, "generation": 3, "reason": "a better prompt"},
            )
        ],
    ),
    (
        events.StageSuspended(
            1,
            "a",
            '{"secret":1}',
            LATER,
            timedelta(seconds=30),
            LATER + timedelta(hours=1),
            (events.ResumeCondition(b"x" * 32, "approval"), events.ResumeCondition(b"y" * 32)),
        ),
        [
            (
                "stage:suspended",
                {
                    "stage_id": "a",
                    "next_poll_at": LATER.isoformat(),
                    "wait_until": (LATER + timedelta(hours=1)).isoformat(),
                    "waits_for": ["approval", ""],
                },
            ),
            ("workflow:suspended", {"stage_id": "a"}),
        ],
    ),
    (
        events.JobRestored(1, "a", 101),
        [("stage:requeued", {"stage_id": "a", "reason": "repaired", "delivery": 1})],
    ),
    (events.AnnotationAdded(SAID), []),
    (events.AiCallBooked(AiCallRow("default", ai_call(UUID(int=9)), NOW, NOW, RUN.id)), []),
    (
        events.AnnotationAdded(replace(SAID, emit_event=True)),
        [
            (
                "annotation:created",
                {
                    "annotation_id": "n-1",
                    "key": "decision.outcome",
                    "value": {"yes": True},
                    "scope": "stage",
                    "scope_id": "a",
                    "actor": {"kind": "human", "id": "ada", "version": "2"},
                    "generation": 1,
                    "attempt": 2,
                },
            )
        ],
    ),
    (events.SubmissionChanged(submission()), []),
    (
        events.OrphanSuspected("a", "k", 1, 2),
        [("stage:orphan_suspected", {"stage_id": "a", "key": "k", "generation": 1, "attempt": 2})],
    ),
    (events.StageDiscarded(1, "a"), []),
    (events.CheckStarted(1, "a", TOKEN, SESSION_ID), []),
    (events.StageStillWaiting(1, "a", LATER, "{}"), []),
    (events.CheckRequested(1, "a"), []),
]


def told(event: events.Event, before: Focus = BEFORE) -> list[tuple[str, dict[str, Any]]]:
    return [(name, orjson.loads(payload)) for name, payload in publish(event, before, LATER)]


@pytest.mark.parametrize(("event", "expected"), CASES, ids=lambda value: type(value).__name__)
def test_each_event_tells_exactly_this(
    event: events.Event, expected: list[tuple[str, dict[str, Any]]]
) -> None:
    assert told(event) == expected


def test_every_kind_of_event_has_a_case() -> None:
    assert {type(event) for event, _ in CASES} == set(typing.get_args(events.Event))


def test_costs_are_exact_decimals() -> None:
    run = structs.replace(RUN, total_cost=Decimal("0.0000001"), total_tokens=12)
    [(_, payload)] = told(events.RunCompleted({"a": "1"}), Focus(run))
    assert (payload["total_cost"], payload["total_tokens"]) == ("0.0000001", 12)


def test_an_output_is_told_up_to_its_limit_and_as_it_came() -> None:
    output = '"' + "x" * (EVENT_OUTPUT_BYTES_MAX - 2) + '"'
    [(_, payload)] = told(events.RunCompleted({"a": output}))
    assert payload["output"] == output[1:-1]
    [(_, payload)] = told(events.RunCompleted({"a": output[:-1] + 'x"'}))
    assert payload == {**TOTALS, "output_omitted": True}
    half = '"' + "x" * (EVENT_OUTPUT_BYTES_MAX // 2) + '"'
    [(_, payload)] = told(events.RunCompleted({"a": half, "b": half}))
    assert payload["output_omitted"] is True


def test_the_limit_of_an_output_counts_bytes() -> None:
    [(_, payload)] = told(events.RunCompleted({"a": '"' + "ü" * (EVENT_OUTPUT_BYTES_MAX // 2) + '"'}))
    assert payload["output_omitted"] is True


def test_outputs_are_moved_as_text_and_never_parsed() -> None:
    [(_, payload)] = publish(events.RunCompleted({"a": '{"b":1,"a":1.50e1}'}), BEFORE, NOW)
    assert b'"output":{"b":1,"a":1.50e1}' in payload
