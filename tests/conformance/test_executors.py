"""The executors that ship conform."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from stageline_engine.commands import Completed, JobOffer, LeaseReference, Outcome
from stageline_engine.executors import LocalExecutor, RoutingExecutor, UnknownStageError
from stageline_engine.model.job import JobKind
from stageline_engine.ports import JobVoice
from stageline_engine.testing import SequentialIds, conformance
from stageline_engine.testing.conformance.execution import Behaviour


class Silent:
    """Hears everything and keeps nothing."""

    async def log(self, level: str, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Hears a line."""

    async def progress(self, fraction: float | None, message: str = "") -> None:
        """Hears progress."""

    async def fetch_outputs(self, stage_ids: Sequence[str]) -> Mapping[str, str]:
        """Has none."""
        return {}


def offer_of(stage_id: str = "a", workflow_name: str = "w") -> JobOffer:
    """A job."""
    ids = SequentialIds()
    return JobOffer(
        lease=LeaseReference(ids.new_id(), ids.new_token(), ids.new_id(), 1),
        namespace="default",
        workflow_name=workflow_name,
        workflow_version=1,
        stage_id=stage_id,
        kind=JobKind.EXECUTE,
        generation=1,
        attempt=2,
        delivery=1,
        priority=5,
        start_to_close=None,
        config="{}",
        run_input="{}",
        input_stage_ids=(),
        outputs={},
        completed_stage_ids=(),
    )


class TestLocal(conformance.ExecutorConformance):
    def executor(self, behaviour: Behaviour) -> LocalExecutor:
        return LocalExecutor({("w", "a"): behaviour})

    def offer(self) -> JobOffer:
        return offer_of()

    def voice(self) -> JobVoice:
        return Silent()


class TestRouting(TestLocal):
    def executor(self, behaviour: Behaviour) -> RoutingExecutor:  # type: ignore[override]
        return RoutingExecutor({("w", ""): LocalExecutor({("w", ""): behaviour})})


def saying(what: bytes) -> LocalExecutor:
    """An executor whose stages all say the same."""

    async def say(offer: JobOffer, voice: JobVoice) -> Outcome:
        return Completed(what)

    return LocalExecutor({("w", ""): say, ("v", ""): say})


async def test_the_most_exact_route_counts_and_the_default_takes_the_rest() -> None:
    routes = {("w", "a"): saying(b"1"), ("w", ""): saying(b"2")}
    executor = RoutingExecutor(routes, default=saying(b"3"))
    offers = [offer_of(), offer_of("b"), offer_of("a", "v")]
    said = [await executor.execute(offer, Silent()) for offer in offers]
    assert said == [Completed(b"1"), Completed(b"2"), Completed(b"3")]


async def test_a_stage_that_nobody_has_is_no_failure_of_the_stage() -> None:
    for executor in (LocalExecutor({}), RoutingExecutor({})):
        with pytest.raises(UnknownStageError, match="'a' of workflow 'w'"):
            await executor.execute(offer_of(), Silent())
