"""Who may end a wait from outside, and what follows when somebody does."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from stageline_engine import events
from stageline_engine.commands import CheckNow, Completed, Suspended, WaitOutcome
from stageline_engine.decide.resume import already_resumed, decide_resume, fingerprint_of, refuse_resume
from stageline_engine.decide.suspend import decide_suspend
from stageline_engine.events import StageError
from stageline_engine.model.job import JobState
from stageline_engine.model.stage import StageState
from stageline_engine.records import ResumeToken
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing import workflow
from stageline_engine.testing.play import batch_stage
from tests.unit.engine.views import IDS, LATER, RUN_ID, Life, kinds

YES = Completed(b'"yes"')
TOKEN = ResumeToken(b"x" * 32, RUN_ID, 1, 1, "approval", LATER + timedelta(hours=1))


def waiting(*groups: str) -> Life:
    """A run whose first stage is suspended."""
    life = Life(workflow("flow", batch_stage("a"), *groups)).start(1)
    return life.happen([decide_suspend(life.stages[1], Suspended(), LATER)])


def refused(token: ResumeToken | None, life: Life | None = None) -> Reason | None:
    answer = refuse_resume((life or waiting()).stages[1], token, LATER)
    return answer.reason if answer else None


def test_a_token_of_a_suspended_stage_is_good() -> None:
    assert refused(TOKEN) is None
    assert refused(replace(TOKEN, expires_at=None)) is None


@pytest.mark.parametrize(
    "token",
    [
        None,
        replace(TOKEN, run_id=IDS.new_id()),
        replace(TOKEN, stage_number=2),
        replace(TOKEN, generation=2),
        replace(TOKEN, generation=0),
        replace(TOKEN, used_fingerprint=b"of something else"),
    ],
    ids=["unknown", "another run's", "another stage's", "a later generation's", "an older one's", "used up"],
)
def test_a_token_that_is_not_this_waits_is_refused_without_saying_why(token: ResumeToken | None) -> None:
    answer = refuse_resume(waiting().stages[1], token, LATER)
    assert isinstance(answer, Rejection)
    assert answer.reason is Reason.RESUME_TOKEN_INVALID
    assert answer.message == "The resume token is unknown, expired, or used already."
    assert answer.metadata == {"run_id": str(RUN_ID), "stage_id": "a"}


def test_a_token_is_good_until_it_expires_and_not_at_that_moment() -> None:
    assert refused(replace(TOKEN, expires_at=LATER + timedelta(microseconds=1))) is None
    assert refused(replace(TOKEN, expires_at=LATER)) is Reason.RESUME_TOKEN_INVALID


def test_the_same_outcome_may_be_told_again_even_when_all_is_over() -> None:
    used = replace(TOKEN, used_fingerprint=fingerprint_of(YES), expires_at=LATER)
    over = waiting()
    over.happen(decide_resume(over.view(), over.stages[1], YES, LATER, 0.5))
    others: list[WaitOutcome] = [Completed(b'"no"'), StageError("E", "m"), CheckNow()]
    assert already_resumed(1, used, YES)
    assert not any(already_resumed(1, used, outcome) for outcome in others)
    assert not already_resumed(2, used, YES)
    assert not already_resumed(1, TOKEN, YES)
    assert not already_resumed(1, None, YES)
    assert refused(used, over) is Reason.RESUME_TOKEN_INVALID


def test_a_stage_that_does_not_wait_cannot_be_resumed() -> None:
    life = Life(workflow("flow", batch_stage("a"))).start(1)
    answer = refuse_resume(life.stages[1], TOKEN, LATER)
    assert isinstance(answer, Rejection)
    assert (answer.reason, answer.metadata["state"]) == (Reason.STAGE_NOT_SUSPENDED, "RUNNING")


def test_fingerprints_tell_outcomes_apart() -> None:
    outcomes: list[WaitOutcome] = [
        YES,
        Completed(b'"no"'),
        Completed(b'"yes"', {"pages": 1}),
        StageError("E", "m"),
        StageError("E", "n"),
        CheckNow(),
    ]
    assert len({fingerprint_of(outcome) for outcome in outcomes}) == len(outcomes)
    assert fingerprint_of(YES) == fingerprint_of(Completed(b'"yes"'))


def test_an_output_completes_the_stage_and_what_follows() -> None:
    life = waiting("b")
    happened = list(decide_resume(life.view(), life.stages[1], Completed(b'"yes"', {"pages": 2}), LATER, 0.5))
    assert happened[0] == events.StageCompleted(1, "a", '"yes"', {"pages": 2}, reported=False)
    assert kinds(happened[1:]) == ["RunAdvanced", "StageScheduled"]
    life.happen(happened)
    assert (life.stages[1].state, 1 in life.jobs) == (StageState.COMPLETED, False)


def test_an_error_fails_the_stage_for_good_and_with_it_the_run() -> None:
    life = waiting("b")
    error = StageError("Rejected", "no budget")
    happened = list(decide_resume(life.view(), life.stages[1], error, LATER, 0.5))
    assert happened[0] == events.StageFailed(1, "a", error, reported=False)
    assert kinds(happened) == ["StageFailed", "RunFailed"]


def test_a_wish_for_a_check_makes_it_due_and_leaves_one_that_is_being_made_alone() -> None:
    life = waiting()
    assert list(decide_resume(life.view(), life.stages[1], CheckNow(), LATER, 0.5)) == [
        events.CheckRequested(1, "a")
    ]
    life.happen([events.CheckRequested(1, "a")])
    assert (life.jobs[1].state, life.jobs[1].available_at) == (JobState.READY, LATER)
    life.start(1).happen([events.CheckRequested(1, "a")])
    assert life.jobs[1].state is JobState.LEASED
