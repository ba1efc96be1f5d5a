"""What the world still knows when runs, keys and sessions are purged, and what must be gone and what must stay."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from stageline_engine import commands
from stageline_engine.commands import Disposition, HistoryPurged
from stageline_engine.ports import UsageFilter, UsageSum
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.scene import Scene, completed
from stageline_engine.testing.simulation.world import KnownRun, send_one

if TYPE_CHECKING:
    from stageline_engine.testing.simulation.history import History

LIMIT = 1000
"""More keys and sessions than any history has, and ten times its runs: which of them go is never left to chance."""


async def purge(history: "History", runs: timedelta, sessions: timedelta) -> None:
    """Purges, and checks that the right ones are gone without a trace, and that what they cost is still told."""
    ended = await _ended(history, history.world.now - runs)
    spent = {run_id: await _spent(history, run_id, known) for run_id, known in ended.items()}
    command = commands.PurgeHistory(runs=runs, sessions=sessions, limit=LIMIT)
    purged: HistoryPurged = await history.world.same(lambda scene: send_one(scene, command))
    assert set(purged.run_ids) <= ended.keys()
    assert not purged.more
    offers = [offer for offer in history.offers if offer.lease.run_id in purged.run_ids]
    history.forget(frozenset(purged.run_ids), keys_before=history.world.now - runs)
    for run_id in purged.run_ids:
        history.check_published(run_id)
        assert (
            await _spent(history, run_id, ended[run_id]) == spent[run_id]
        )  # I7: money that was spent stays spent
        cancel = commands.CancelRun(ended[run_id].namespace, run_id)
        refused = await history.world.same(lambda scene: send_one(scene, cancel))  # noqa: B023
        assert isinstance(refused, Rejection)
        assert refused.reason is Reason.RUN_NOT_FOUND
    for offer in offers[-1:]:
        said = await history.world.same(lambda scene: scene.report(offer, completed(1)))  # noqa: B023
        assert said == commands.JobReportRecorded(Disposition.SUPERSEDED)


async def _ended(history: "History", before: datetime) -> Mapping[UUID, KnownRun]:
    """Runs that ended before a time."""
    return {
        run_id: history.runs[run_id]
        for run_id, loaded in (await history.rows()).items()
        if loaded.run.ended_at is not None and loaded.run.ended_at < before
    }


async def _spent(history: "History", run_id: UUID, known: KnownRun) -> UsageSum:
    async def read(scene: Scene) -> UsageSum:
        (total,) = await scene.backend.usage.sum_calls(scene.namespace, UsageFilter(run_id=run_id), limit=1)
        return total

    return await history.world.same(read, known.namespace)


async def forget_everything(history: "History") -> None:
    """In the end every run is purged, and nothing is left of any."""
    history.world.advance(timedelta(seconds=1))
    await purge(history, timedelta(0), timedelta(0))
    assert not history.runs
    assert await history.rows() == {}
    await history.kept.check_nothing_is_left(history)
