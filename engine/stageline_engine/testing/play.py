"""A scene with one workflow and one worker session: what most tests of waiting, failing and rerunning need."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson

from stageline_engine.commands import Disposition, JobOffer, Suspended
from stageline_engine.model.definition import RegisteredWorkflow, StageDefinition, StageMode, StageTimeouts
from stageline_engine.model.run import RunState
from stageline_engine.model.stage import StageState
from stageline_engine.testing.definitions import stage
from stageline_engine.testing.scene import Scene, completed


def batch_stage(stage_id: str = "batch", **fields: Any) -> StageDefinition:
    """A stage that may suspend."""
    return stage(stage_id, mode=StageMode.ASYNC_BATCH, **fields)


def timed_stage(stage_id: str, **timeouts: timedelta) -> StageDefinition:
    """A stage with time-outs."""
    return stage(stage_id, timeouts=StageTimeouts(**timeouts))


class Play:
    """One session that takes every job of one workflow's runs.

    Attributes:
        scene: The scene.
        registered: The workflow.
        session_id: The session.
    """

    def __init__(self, scene: Scene, registered: RegisteredWorkflow, session_id: UUID) -> None:
        """Takes what was prepared."""
        self.scene = scene
        self.registered = registered
        self.session_id = session_id

    async def offers(self) -> Sequence[JobOffer]:
        """Leases all that is ready."""
        return await self.scene.lease(self.session_id, self.registered)

    async def offer(self) -> JobOffer:
        """Leases the one job that is ready.

        Raises:
            AssertionError: There is none, or more than one.
        """
        offers = await self.offers()
        if len(offers) != 1:
            raise AssertionError(f"leased {[offer.stage_id for offer in offers]}")
        return offers[0]

    async def wait(self, step: timedelta) -> None:
        """Lets time pass, in which the session is heard of; then makes due jobs ready."""
        self.scene.clock.advance(step)
        await self.scene.renew(self.session_id)
        await self.scene.promote()

    async def suspend(self, **fields: Any) -> JobOffer:
        """Leases the one ready job and suspends it; returns its offer.

        Raises:
            AssertionError: The suspension was not recorded as such.
        """
        offer = await self.offer()
        recorded = await self.scene.report(offer, Suspended(**fields))
        if (recorded.disposition, recorded.note) != (Disposition.RECORDED, ""):
            raise AssertionError(recorded)
        return offer

    async def check_after(self, step: timedelta) -> JobOffer:
        """Lets time pass and leases the one check that is due."""
        await self.wait(step)
        return await self.offer()

    async def finish(self, run_id: UUID) -> None:
        """Completes every job until the run has ended, each with its stage's id as output."""
        while offers := await self.offers():
            for offer in offers:
                await self.scene.report(offer, completed(offer.stage_id))
        if not (await self.run_state(run_id)).terminal:
            raise AssertionError("the run has no job and has not ended")

    async def run_state(self, run_id: UUID) -> RunState:
        """The state of a run."""
        return (await self.scene.details(run_id)).run.state

    async def stage_state(self, run_id: UUID, number: int = 1) -> StageState:
        """The state of a stage."""
        return (await self.scene.details(run_id)).stages[number - 1].stage.state

    async def payload(self, run_id: UUID, event_type: str) -> dict[str, Any]:
        """The payload of a run's last event of a type."""
        events = [event for event in await self.scene.events(run_id) if event.type == event_type]
        payload: dict[str, Any] = orjson.loads(events[-1].payload)
        return payload
