"""The parts of the harness that decide: a storm that is none, or a criterion that cannot fail, would prove nothing."""

import random
from pathlib import Path

import pytest

from stageline.v1 import session_pb2, worker_pb2
from tests.chaos.audit import Audit
from tests.chaos.frame_faults import PING, Fault, FrameFaults, kinds_of
from tests.chaos.growth import Sample, growth_kib
from tests.chaos.journal import BEGAN, Journal
from tests.chaos.mutate import mutated

CREDITS = worker_pb2.WorkerItem(credits=session_pb2.Credits(free_slots=1))
CLEAN = Audit(
    runs=3,
    stages=3,
    executions=4,
    lost=0,
    doubled=0,
    stray=0,
    repeated=1,
    handed_on=1,
    uncounted=0,
    held=0,
    broken=(),
)


def test_a_clean_audit_passes() -> None:
    CLEAN.check(repeated_max=1)


@pytest.mark.parametrize("count", ["lost", "doubled", "stray", "uncounted", "held"])
def test_an_audit_fails_on_one_of_anything(count: str) -> None:
    with pytest.raises(AssertionError):
        Audit(**{**vars(CLEAN), count: 1}).check()


def test_an_audit_fails_on_a_broken_invariant_and_on_too_many_repeats() -> None:
    with pytest.raises(AssertionError):
        Audit(**{**vars(CLEAN), "broken": ("I2",)}).check()
    with pytest.raises(AssertionError):
        CLEAN.check(repeated_max=0)


def test_a_leak_of_a_kibibyte_a_stage_is_seen_and_a_single_step_is_not() -> None:
    leak = [Sample(stages, 100_000 + stages) for stages in range(0, 50_000, 1000)]
    step = [Sample(stages, 100_000 + 8000 * (stages > 20_000)) for stages in range(0, 50_000, 1000)]
    assert growth_kib(leak) == pytest.approx(1000)
    assert growth_kib(step) == 0
    with pytest.raises(ValueError, match="two samples"):
        growth_kib(leak[:1])


def test_faults_come_as_often_as_they_should_and_of_every_kind() -> None:
    faults = FrameFaults(random.Random(1), rate=0.1)
    frame = worker_pb2.WorkerFrame(items=[CREDITS])
    for _ in range(3000):
        faults.decide(frame)
    assert set(faults.counts) == {("credits", fault) for fault in Fault}
    assert all(200 < count < 400 for count in faults.counts.values()), faults.counts
    faults.calm()
    assert {faults.decide(frame) for _ in range(100)} == {None}


def test_a_rate_of_its_own_goes_over_the_common_one() -> None:
    faults = FrameFaults(random.Random(1), rate=0.1, rates={"credits": 1.0}, only=(Fault.DROP,))
    assert faults.decide(worker_pb2.WorkerFrame(items=[CREDITS])) is Fault.DROP
    assert kinds_of(worker_pb2.WorkerFrame()) == [PING]


def test_mutations_change_something_and_come_from_the_seed() -> None:
    data = bytes(range(64))
    some = [mutated(data, random.Random(seed)) for seed in range(100)]
    assert some == [mutated(data, random.Random(seed)) for seed in range(100)]
    assert sum(each != data for each in some) > 90


def test_a_journal_counts_what_is_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert (journal.count(), journal.marks()) == (0, [])
    lines = ["began run-1 a 1 1 7", "began run-1 a 1 2 8", "told run-1 a 1 2 8", "began run-1 a 2 1 8"]
    (journal.folder / "journal").write_text("\n".join(lines) + "\n")
    assert (journal.count(BEGAN), journal.count("told")) == (3, 1)
    assert journal.repeated() == 1
    assert journal.executions() == {("run-1", "a"): 3}
