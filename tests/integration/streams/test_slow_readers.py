"""Workers that go on talking and read nothing, over real HTTP/2: memory stays bounded, and their jobs go to others."""

from dataclasses import replace
from datetime import timedelta

import grpc

from stageline.v1 import session_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.model.run import RunState
from stageline_engine.testing.definitions import workflow
from tests.support.plane import BRISK, memory_deployment
from tests.support.raw_worker import credits_item
from tests.waiting import eventually

PATIENT = replace(BRISK, session_timeout=timedelta(seconds=2))
INPUT = b'"' + b"x" * 100_000 + b'"'
RUNS = 100
"""Together 10 MB: far more than HTTP/2 takes off the server for a reader that does not read."""


async def test_a_worker_that_never_reads_is_ended_with_a_reason_and_its_jobs_are_done_by_another() -> None:
    async with memory_deployment() as deployment:
        server = await deployment.serve(PATIENT)
        await server.register(workflow("one", "only"))
        call = server.stub.Work()
        hello = session_pb2.Hello(protocol_version=1, slots=RUNS)
        hello.stages.add(workflow_name="one", workflow_version=1)
        hello.identity.name = "deaf"
        await call.write(
            worker_pb2.WorkerFrame(sequence=1, items=[worker_pb2.WorkerItem(hello=hello), credits_item(RUNS)])
        )

        async def admitted() -> bool:
            return bool(server.plane.sessions.all())

        await eventually(admitted)
        runs = [await server.create("one", INPUT) for _ in range(RUNS)]
        sequence, waited_bytes = 1, 0

        async def gone() -> bool:
            nonlocal sequence, waited_bytes
            for session in server.plane.sessions.all():
                waited_bytes = max(waited_bytes, session.outlet.waiting_bytes)
            sequence += 1
            await call.write(worker_pb2.WorkerFrame(sequence=sequence))  # it lives, and reads nothing
            return server.plane.counts.disconnects["SLOW_READER"] == 1

        await eventually(gone)
        # Leasing stopped: at most one batch of jobs was on its way when enough waited.
        assert limits.OUTBOX_LEASING_BYTES_MAX < waited_bytes <= limits.OUTBOX_BYTES_MAX

        worker = await server.connect("one", slots=RUNS)
        for _ in runs:
            offer = await worker.offer()
            assert (offer.attempt, offer.delivery) == (1, 1)
            await worker.report(offer, output=b"1")
        for run_id in runs:
            await server.until_run(run_id, RunState.COMPLETED)
        rows = await server.ports.sessions.list("default", include_ended=True, limit=10)
        assert {row.worker_name: row.disconnect_reason for row in rows}["deaf"] == "SLOW_READER"
        call.cancel()
        assert await call.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED)
