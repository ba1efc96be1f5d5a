"""Why a ready job waits, in words that name the mistake."""

from stageline_engine.decide.waiting import Lack, shortage
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.labels import label_violations
from stageline_engine.model.session import SessionStages, WorkerKind, served_routes
from stageline_engine.testing import stage, workflow
from tests.unit.engine.views import NOW

GPU = {"gpu": "a100", "zone": "eu"}
DEFINITION = workflow("flow", "plain", [stage("draw", required_labels=GPU), "beside"])
FLOW = RegisteredWorkflow("default", 3, "digest", DEFINITION, NOW, (11, 12, 13))


def kind(
    *stage_ids: str, version: int = 3, labels: dict[str, str] | None = None, sessions: int = 1
) -> WorkerKind:
    """Workers of 4 slots each."""
    return WorkerKind((SessionStages("flow", version, stage_ids),), labels or {}, sessions, 4 * sessions)


def test_without_any_worker_stage_and_version_are_named() -> None:
    assert shortage(FLOW, "plain", []) == (
        Lack.NO_WORKER,
        'no worker has stage "plain" of workflow "flow" version 3',
    )


def test_workers_of_another_version_or_stage_are_none() -> None:
    others = [kind(version=2), kind("beside"), kind(version=1)]
    assert shortage(FLOW, "plain", others) == (
        Lack.NO_WORKER,
        'no worker has stage "plain" of workflow "flow" version 3; workers have version 1, 2',
    )
    assert shortage(FLOW, "beside", others).lack is Lack.NO_FREE_SLOT


def test_missing_labels_are_named() -> None:
    assert shortage(FLOW, "draw", []).detail == (
        'no worker with the labels gpu=a100, zone=eu has stage "draw" of workflow "flow" version 3'
    )
    too_few = [kind(labels={"gpu": "a100"}, sessions=2), kind("draw", labels={"gpu": "l4", "zone": "eu"})]
    assert shortage(FLOW, "draw", too_few) == (
        Lack.NO_WORKER,
        (
            'no worker with the labels gpu=a100, zone=eu has stage "draw" of workflow "flow" version 3; '
            "3 workers have it without them"
        ),
    )


def test_workers_that_have_it_are_not_free() -> None:
    able = [kind(labels=GPU | {"more": "x"}), kind("draw", labels=GPU), kind()]
    assert shortage(FLOW, "draw", able) == (
        Lack.NO_FREE_SLOT,
        '2 workers with 8 slots have stage "draw" of workflow "flow" version 3, and none of them is free',
    )
    assert shortage(FLOW, "plain", [kind()]).detail.startswith("1 worker with 4 slots has stage")


def test_a_worker_is_offered_what_its_labels_are_enough_for() -> None:
    assert served_routes(FLOW, {}) == (11, 13)
    assert served_routes(FLOW, {"gpu": "a100"}) == (11, 13)
    assert served_routes(FLOW, GPU | {"more": "x"}) == (11, 12, 13)
    assert served_routes(FLOW, GPU, ("draw",)) == (12,)
    assert served_routes(FLOW, {}, ("draw",)) == ()


def test_labels_have_limits() -> None:
    assert list(label_violations({f"k{number}": "v" for number in range(64)})) == []
    told = list(label_violations({f"k{number}": "v" for number in range(65)}, "required_labels"))
    assert [(each.field, each.description) for each in told] == [("required_labels", "65 entries, limit 64")]
    assert list(label_violations({"k" * 63: "v" * 255})) == []
    assert len(list(label_violations({"k" * 64: "v", "k": "v" * 256, "": "v", "z": "\0"}))) == 4
