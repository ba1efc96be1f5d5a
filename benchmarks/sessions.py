"""W5 and W8: sessions of the SDK in this process, which answer every job at once; many of them cost no processes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.load import saturate
from stageline.v1 import job_pb2, session_pb2
from stageline_sdk._connection import Connection
from stageline_sdk._job import Completed
from stageline_sdk._reports import report_of
from stageline_sdk._session import Session
from stageline_sdk._session_core import SessionProfile
from stageline_sdk._session_messages import Finished
from tests.waiting import eventually

SLOTS_IN_ALL = 1000
CONNECTED_WITHIN = timedelta(seconds=60)


class Echo:
    """Does every job by saying that it is done."""

    def __init__(self) -> None:
        """Attach a session before the first job."""
        self.session: Session | None = None

    def start(self, offer: job_pb2.JobOffer) -> None:
        """Reports a job's end."""
        assert self.session is not None
        done = report_of(offer.lease_token, Completed(workflows.PAYLOAD.encode()))
        self.session.post(Finished(offer.lease_token, done))

    def stop(self, lease_token: bytes, reason: str) -> None:
        """Nothing is under way."""


@contextlib.asynccontextmanager
async def sessions(bench: Bench, count: int, slots: int) -> AsyncIterator[None]:
    """Connects sessions, and drains them in the end."""
    before = bench.server.count_sessions()
    tasks, opened = [], []
    for number in range(count):
        echo = Echo()
        identity = session_pb2.WorkerIdentity(name=f"echo-{count}-{number}")
        profile = SessionProfile(namespace="default", identity=identity, slots=slots, labels={})
        session = Session(Connection.to(bench.server.address), profile, [workflows.ECHOED], echo)
        echo.session = session
        opened.append(session)
        tasks.append(asyncio.create_task(session.run()))

    async def all_connected() -> bool:
        return bench.server.count_sessions() >= before + count

    try:
        await eventually(all_connected, within=CONNECTED_WITHIN)
        yield
    finally:
        for session in opened:
            session.drain(timedelta(seconds=2))
        await asyncio.gather(*tasks, return_exceptions=True)


async def many_sessions(bench: Bench) -> dict[str, float]:
    """W5: the same work with the same slots, spread over more and more sessions."""
    found = {}
    for count in bench.options.sessions:
        async with sessions(bench, count, max(1, SLOTS_IN_ALL // count)):
            load = await saturate(bench.client, bench.options.runs, workflows.ECHOED)
        found[f"{count}_sessions_stages_per_second"] = load.stages_per_second
    first, last = bench.options.sessions[0], bench.options.sessions[-1]
    rates = list(found.values())
    return {**found, f"stages_per_second_of_{last}_sessions__of_{first}": rates[-1] / rates[0]}
