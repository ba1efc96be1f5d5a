"""Notes of the conventions have the keys that tools look for."""

from datetime import UTC, datetime

from stageline_sdk.conventions import Approval, Decision, Revision, Trigger
from tests.unit.worker_sdk.sinks import KeepingSink
from tests.unit.worker_sdk.test_context import context


def test_every_field_has_its_key() -> None:
    at = datetime(2030, 1, 2, tzinfo=UTC)
    trigger = Trigger(source="cron", parent_run_id="r", reason="due", actor_kind="user", actor_id="jane")
    assert trigger.notes() == {
        "trigger.source": "cron",
        "trigger.parent_run_id": "r",
        "trigger.reason": "due",
        "trigger.actor.kind": "user",
        "trigger.actor.id": "jane",
    }
    assert Approval(approvers=("jane",), timestamp=at, policy_version="3").notes() == {
        "approval.approvers": ["jane"],
        "approval.timestamp": "2030-01-02T00:00:00+00:00",
        "approval.policy.version": "3",
    }
    assert Revision(previous_run_id="r", reason="typo").notes() == {
        "revision.previous_run_id": "r",
        "revision.reason": "typo",
    }


def test_a_stage_notes_what_is_said_and_nothing_else() -> None:
    sink = KeepingSink()
    ctx = context(sink)
    decision = Decision(outcome={"kept": False}, confidence=0.0, alternatives=("a",), used_fallback=False)
    for key, value in decision.notes().items():
        ctx.annotate(key, value)
    assert [(each.key, each.value) for each in sink.annotations] == [
        ("decision.outcome", {"kept": False}),
        ("decision.confidence", 0.0),
        ("decision.alternatives", ["a"]),
        ("decision.used_fallback", False),
    ]
