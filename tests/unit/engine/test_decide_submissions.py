"""What may be said of a submission: the table of phases, the fence, the limits, and what no sequence of words can undo."""

from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stageline_engine.commands import RecordSubmission
from stageline_engine.decide.submissions import decide_submission
from stageline_engine.limits import (
    SUBMISSION_KEY_LENGTH_MAX,
    SUBMISSION_REFERENCE_LENGTH_MAX,
    SUBMISSIONS_PER_STAGE_MAX,
)
from stageline_engine.model.stage import StageState
from stageline_engine.model.submission import SubmissionPhase, SubmissionRow, may_follow, shown_phase
from stageline_engine.rejections import Reason, Rejection
from tests.unit.engine.test_transitions import stage_in
from tests.unit.engine.views import LATER, NOW, OTHER_TOKEN, RUN_ID, TOKEN, Life

Phase = SubmissionPhase
LIVE = Life().start(1).view()


def said(phase: Phase, reference: str = "", *, token: UUID = TOKEN, key: str = "k") -> RecordSubmission:
    given_reference = reference or ("r" if phase is Phase.CONFIRMED else "")
    return RecordSubmission("default", RUN_ID, 1, token, key, phase, given_reference)


def submission(phase: Phase = Phase.DECLARED, reference: str = "", *, key: str = "k") -> SubmissionRow:
    given_reference = reference or ("r" if phase is Phase.CONFIRMED else "")
    return SubmissionRow(RUN_ID, 1, 1, key, phase, given_reference, 1, TOKEN, NOW, NOW)


def decided(command: RecordSubmission, *known: SubmissionRow) -> SubmissionRow | Rejection:
    return decide_submission(LIVE, command, known, LATER)


@pytest.mark.parametrize(("known", "told"), list(product([None, *Phase], Phase)))
def test_every_pair_of_phases_is_allowed_or_refused_as_the_table_says(
    known: Phase | None, told: Phase
) -> None:
    rows = [] if known is None else [submission(known)]
    answer = decided(said(told), *rows)
    assert isinstance(answer, SubmissionRow) == may_follow(known, told)
    if isinstance(answer, SubmissionRow):
        assert answer.phase is told
        assert (answer.reference != "") == (told is Phase.CONFIRMED)
    else:
        assert answer.reason is Reason.INVALID_FIELD


@pytest.mark.parametrize("phase", Phase)
def test_a_repeat_changes_nothing(phase: Phase) -> None:
    row = submission(phase)
    assert decided(said(phase), row) is row


def test_another_reference_for_what_is_confirmed_is_refused_and_told_the_first() -> None:
    answer = decided(said(Phase.CONFIRMED, "second"), submission(Phase.CONFIRMED, "first"))
    assert isinstance(answer, Rejection)
    assert answer.metadata["provider_reference"] == "first"


@pytest.mark.parametrize("phase", Phase)
def test_under_a_lease_that_does_not_count_only_the_declarer_says_what_became_of_it(phase: Phase) -> None:
    ended = Life().view()  # nothing is leased any more
    declared = submission()
    own = decide_submission(ended, said(phase), [declared], LATER)
    assert isinstance(own, SubmissionRow) == (phase in (Phase.CONFIRMED, Phase.WITHDRAWN))
    for others in (said(phase, token=OTHER_TOKEN), replace_namespace(said(phase))):
        answer = decide_submission(ended, others, [declared], LATER)
        assert isinstance(answer, Rejection)
        assert answer.reason is Reason.LEASE_SUPERSEDED


def replace_namespace(command: RecordSubmission) -> RecordSubmission:
    return RecordSubmission("other", *[getattr(command, name) for name in command.__slots__[1:]])


words = st.tuples(
    st.sampled_from(Phase), st.sampled_from(["r1", "r2"]), st.sampled_from([TOKEN, OTHER_TOKEN])
)


@given(st.lists(words, max_size=12))
def test_no_sequence_of_words_undoes_or_changes_what_is_confirmed(
    sequence: list[tuple[Phase, str, UUID]],
) -> None:
    row: SubmissionRow | None = None
    confirmed = ""
    for phase, reference, token in sequence:
        command = said(phase, reference if phase is Phase.CONFIRMED else "", token=token)
        answer = decided(command, *([row] if row else []))
        row = answer if isinstance(answer, SubmissionRow) else row
        if confirmed:
            assert row is not None
            assert (row.phase, row.reference) == (Phase.CONFIRMED, confirmed)
        elif row is not None and row.phase is Phase.CONFIRMED:
            confirmed = row.reference


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        (said(Phase.DECLARED, key="k" * SUBMISSION_KEY_LENGTH_MAX), True),
        (said(Phase.DECLARED, key="k" * (SUBMISSION_KEY_LENGTH_MAX + 1)), False),
        (said(Phase.DECLARED, key=""), False),
        (said(Phase.DECLARED, key="a\0b"), False),
        (said(Phase.CONFIRMED, "r" * SUBMISSION_REFERENCE_LENGTH_MAX), True),
        (said(Phase.CONFIRMED, "r" * (SUBMISSION_REFERENCE_LENGTH_MAX + 1)), False),
        (said(Phase.DECLARED, "early"), False),
    ],
)
def test_what_cannot_be_stored_is_refused(command: RecordSubmission, allowed: bool) -> None:
    answer = decided(command, submission())
    assert isinstance(answer, SubmissionRow) == allowed


def test_a_generation_has_a_limit() -> None:
    full = [submission(key=f"k{number}") for number in range(SUBMISSIONS_PER_STAGE_MAX)]
    assert isinstance(decided(said(Phase.DECLARED), *full[1:]), SubmissionRow)
    answer = decided(said(Phase.DECLARED), *full)
    assert isinstance(answer, Rejection)
    assert answer.reason is Reason.LIMIT_EXCEEDED


@pytest.mark.parametrize("phase", Phase)
def test_what_nobody_will_look_up_any_more_is_shown_as_a_suspected_orphan(phase: Phase) -> None:
    row = submission(phase)
    assert shown_phase(row, stage_in(StageState.RUNNING)) is phase
    orphaned = Phase.SUSPECTED if phase is Phase.DECLARED else phase
    ended, later = stage_in(StageState.FAILED), replace(stage_in(StageState.RUNNING), generation=2)
    assert [shown_phase(row, stage) for stage in (ended, later, None)] == [orphaned] * 3
