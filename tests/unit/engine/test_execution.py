"""The limits of running stages in process, and what a kernel without an executor says."""

import asyncio
from datetime import timedelta

import pytest

from stageline_engine.commands import ExecuteJob, ExtendLeases, Outcome, PollSuspended
from stageline_engine.commands import JobOffer as Offer
from stageline_engine.errors import InvariantError
from stageline_engine.kernel import Kernel
from stageline_engine.limits import CHECK_TIMEOUT
from stageline_engine.ports import JobVoice
from stageline_engine.testing import Scene, workflow
from stageline_engine.testing.conformance.execution import execute, in_process, suspend_at_once
from stageline_engine.testing.play import batch_stage


async def test_a_check_may_take_its_time_and_no_longer(scene: Scene) -> None:
    await scene.register(workflow("w", batch_stage()))
    run_id, begun = await scene.create("w"), asyncio.Event()
    await execute(in_process(scene, suspend_at_once), run_id, "batch")

    async def never(offer: Offer, voice: JobVoice) -> Outcome:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    polling = asyncio.create_task(in_process(scene, never).dispatch(PollSuspended()))
    await begun.wait()
    scene.clock.advance(CHECK_TIMEOUT - timedelta(microseconds=1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not polling.done()
    scene.clock.advance(timedelta(microseconds=1))
    assert (await polling).timed_out == 1


@pytest.mark.parametrize("what", ["execute", "poll", "extend"])
async def test_a_kernel_that_lacks_what_it_needs_says_so(scene: Scene, what: str) -> None:
    command = {
        "execute": ExecuteJob("default", scene.ids.new_id(), "a"),
        "poll": PollSuspended(),
        "extend": ExtendLeases("default", ()),
    }[what]
    backend = scene.backend
    kernel = Kernel(backend.persistence, backend.registry, scene.clock, scene.ids)
    with pytest.raises(InvariantError, match="give it"):
        await kernel.dispatch(command)
