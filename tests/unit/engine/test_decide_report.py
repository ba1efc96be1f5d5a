"""What a report brings about, and whether it still counts."""

from datetime import timedelta

import pytest

from stageline_engine import events, payloads
from stageline_engine.commands import Completed, Disposition, Failed, Outcome, ReportJob, Returned
from stageline_engine.decide.cancel import decide_cancel
from stageline_engine.decide.report import check_outcome, decide_report, judge
from stageline_engine.decide.stale import WORKER_LOST, decide_stale
from stageline_engine.events import StageError
from stageline_engine.limits import DELIVERIES_PER_ATTEMPT_MAX, ERROR_MESSAGE_LENGTH_MAX
from stageline_engine.model.definition import RetryPolicy, StageDefinition
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing import stage, workflow
from tests.unit.engine.views import LATER, OTHER_TOKEN, RUN_ID, SESSION_ID, TOKEN, Life, kinds

ERROR = StageError("KeyError", "no such key", "line 3")
TWICE = RetryPolicy(max_attempts=2, initial_backoff=timedelta(seconds=10), jitter=0.0)


def started(*, retry: RetryPolicy | None = None) -> Life:
    """A run whose only stage is leased."""
    return Life(workflow("flow", stage("a", retry=retry or TWICE))).start(1)


def decided(life: Life, outcome: Outcome, chance: float = 0.5) -> list[events.Event]:
    """The events of a report on stage 1."""
    command = ReportJob("default", RUN_ID, 1, TOKEN, outcome)
    return list(decide_report(life.view(), command, outcome, LATER, chance))


def checked(definition: StageDefinition, outcome: Outcome) -> tuple[Outcome, str]:
    """What is recorded of an outcome of a leased stage."""
    view = Life(workflow("flow", definition)).start(1).view()
    return check_outcome(view, 1, outcome, payloads.check_output, payloads.check_state)


def test_a_lease_that_is_held_counts() -> None:
    assert judge(started().view(), "default", 1, TOKEN) is Disposition.RECORDED


def test_what_does_not_exist_for_the_asker_is_superseded() -> None:
    view = started().view()
    assert judge(None, "default", 1, TOKEN) is Disposition.SUPERSEDED
    assert judge(view, "another", 1, TOKEN) is Disposition.SUPERSEDED
    assert judge(view, "default", 2, TOKEN) is Disposition.SUPERSEDED
    assert judge(view, "default", 1, OTHER_TOKEN) is Disposition.SUPERSEDED


def test_a_lease_that_was_handed_on_is_superseded() -> None:
    life = started().happen([events.StageRequeued(1, "a", "lease_expired", counted=True)])
    assert judge(life.view(), "default", 1, TOKEN) is Disposition.SUPERSEDED
    life.start(1, token=OTHER_TOKEN)
    assert judge(life.view(), "default", 1, TOKEN) is Disposition.SUPERSEDED
    assert judge(life.view(), "default", 1, OTHER_TOKEN) is Disposition.RECORDED


@pytest.mark.parametrize("outcome", [Completed(b"1"), Failed(ERROR), Failed(ERROR, retryable=False)])
def test_a_report_that_was_recorded_is_recognised(outcome: Outcome) -> None:
    life = started()
    life.happen(decided(life, outcome))
    assert judge(life.view(), "default", 1, TOKEN) is Disposition.ALREADY_RECORDED


def test_a_report_on_a_run_that_has_ended_is_told_so() -> None:
    life = started()
    life.happen(decide_cancel(life.view(), ""))
    assert judge(life.view(), "default", 1, TOKEN) is Disposition.RUN_ENDED


def test_a_completion_closes_the_stage_and_what_follows() -> None:
    assert decided(started(), Completed(b'{"n": 1}', {"pages": 3})) == [
        events.StageCompleted(1, "a", '{"n": 1}', {"pages": 3}),
        events.RunCompleted({"a": '{"n": 1}'}),
    ]


def test_a_failure_is_tried_again_after_the_policys_wait() -> None:
    wait = timedelta(seconds=10)
    assert decided(started(), Failed(ERROR)) == [
        events.StageRetryScheduled(1, "a", ERROR, 1, wait, LATER + wait)
    ]


def test_the_last_attempt_fails_the_stage_and_the_run() -> None:
    happened = decided(started(retry=RetryPolicy(max_attempts=1)), Failed(ERROR))
    assert happened[0] == events.StageFailed(1, "a", ERROR)
    assert kinds(happened) == ["StageFailed", "RunFailed"]


def test_a_returned_job_waits_for_another_worker_at_no_cost() -> None:
    assert decided(started(), Returned()) == [events.StageRequeued(1, "a", "returned", counted=False)]
    assert decided(started(), Returned(started=False)) == [
        events.StageRequeued(1, "a", "undelivered", counted=False)
    ]


def test_an_output_that_breaks_its_schema_is_a_final_failure_that_names_every_field() -> None:
    schema = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["m"]}'
    definition = stage("a", output_schema=schema)
    good = Completed(b'{"n": 1, "m": 2}')
    assert checked(definition, good) == (good, "")
    outcome, note = checked(definition, Completed(b'{"n": "x"}'))
    assert isinstance(outcome, Failed)
    assert (outcome.retryable, outcome.error.type) == (False, "INVALID_OUTPUT")
    assert "output.n" in note
    assert '"m"' in note
    assert outcome.error.message == note


@pytest.mark.parametrize("output", [b"\xff", b"{", b"", b'"\\u0000"', b"NaN"])
def test_an_output_that_is_no_json_is_a_final_failure(output: bytes) -> None:
    outcome, note = checked(stage("a"), Completed(output))
    assert isinstance(outcome, Failed)
    assert "output is not valid JSON" in note


def test_a_failure_passes_the_check_as_it_is() -> None:
    assert checked(stage("a"), Failed(ERROR)) == (Failed(ERROR), "")


def test_the_message_of_a_refused_output_is_cut_to_its_limit_and_says_so() -> None:
    schema = '{"items":{"const":"' + "x" * 400 + '"}}'
    output = b"[" + b",".join([b"1"] * 100) + b"]"
    outcome, note = checked(stage("a", output_schema=schema), Completed(output))
    assert isinstance(outcome, Failed)
    assert len(note) == ERROR_MESSAGE_LENGTH_MAX
    assert note.endswith(" characters)")


def test_a_message_of_just_the_limit_is_kept_whole() -> None:
    for length, whole in ((ERROR_MESSAGE_LENGTH_MAX, True), (ERROR_MESSAGE_LENGTH_MAX + 1, False)):
        refusal = Rejection(Reason.INVALID_OUTPUT, "x" * length)
        view = Life(workflow("flow", "a")).start(1).view()
        _, note = check_outcome(view, 1, Completed(b"1"), lambda *_: refusal, payloads.check_state)  # noqa: B023
        assert (note == refusal.message) == whole
        assert len(note) == ERROR_MESSAGE_LENGTH_MAX


def test_a_stale_lease_is_handed_on_until_the_limit_of_deliveries() -> None:
    life = Life(workflow("flow", "a", "b"))
    for delivery in range(1, DELIVERIES_PER_ATTEMPT_MAX):
        life.start(1)
        assert life.stages[1].delivery == delivery
        [requeued] = decide_stale(life.view(), 1, LATER)
        assert requeued == events.StageRequeued(1, "a", "lease_expired", counted=True)
        life.happen([requeued])
    happened = list(decide_stale(life.start(1).view(), 1, LATER))
    assert kinds(happened) == ["StageFailed", "RunFailed"]
    assert isinstance(happened[0], events.StageFailed)
    assert (happened[0].error.type, happened[0].reported) == (WORKER_LOST, False)
    assert str(DELIVERIES_PER_ATTEMPT_MAX) in happened[0].error.message
    life.happen(happened)
    assert judge(life.view(), "default", 1, TOKEN) is Disposition.RUN_ENDED
    assert SESSION_ID not in {job.session_id for job in life.jobs.values()}
