"""What goes wrong behind the kernel's back. Lost databases and answers are no acts: they befall any of them."""

from stageline_engine import commands
from stageline_engine.model.job import JobState
from stageline_engine.ports import ALL_STAGES
from stageline_engine.records import ChangeSet
from stageline_engine.testing.scene import Scene
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import act
from stageline_engine.testing.simulation.world import send_one


@act()
async def lose_a_job(history: History, choose: Choices) -> None:
    """A job that waits is lost: the repair finds that very one and restores it."""
    run_id, pick = choose.one_of(list(history.runs)), choose.number(0, 9)

    async def lose(scene: Scene) -> int:
        async with scene.backend.persistence.begin() as work:
            [loaded] = await work.load_runs({run_id: ALL_STAGES})
            waiting = [job for job in loaded.jobs if job.state is not JobState.LEASED]
            lost = [waiting[pick % len(waiting)]] if waiting else []
            await work.commit(ChangeSet(jobs_deleted=lost))
        return len(lost)

    lost = await history.world.same(lose)
    if lost and choose.once_in(2):
        mended = await history.world.same(lambda scene: send_one(scene, commands.TransitionRun(run_id)))
        assert mended == commands.RunTransition("repaired")
        lost = 0
    reaped = await history.world.same(lambda scene: send_one(scene, commands.ReapStuckRuns()))
    assert reaped == commands.StuckRunsReaped(lost, 0)
