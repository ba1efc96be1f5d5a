"""The metrics as Prometheus reads them, of a real server with a worker's stream, and with a store that is away."""

import asyncio
from dataclasses import replace
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stageline.v1.worker_service_pb2_grpc import WorkerServiceStub
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.testing.definitions import digest_of, workflow
from stageline_server.dispatch.ports import Ports
from stageline_server.settings import Settings, SettingsError, load_settings
from stageline_server.stores import memory_ports
from stageline_server.telemetry.endpoint import MetricsError
from tests.integration.server.running import ANY_PORT, running
from tests.support.raw_worker import RawWorker
from tests.waiting import eventually

Samples = dict[tuple[str, ...], float]


async def scraped(address: str) -> Samples:
    """Reads the metrics, by name and the values of their labels."""
    text = await asyncio.to_thread(lambda: urlopen(f"http://{address}/metrics").read().decode())
    families = text_string_to_metric_families(text)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


async def test_metrics_tell_what_a_server_does(ports: Ports) -> None:
    settings = Settings(listen=ANY_PORT, metrics_listen="0")
    async with running(ports, settings) as server:
        application = server.application
        assert application.metrics_address.startswith("127.0.0.1:")
        definition = workflow("one", "only")
        await ports.registry.register("default", definition, digest_of(definition), ports.clock.now())
        async with grpc.aio.insecure_channel(application.address) as channel:
            worker = RawWorker(WorkerServiceStub(channel).Work())
            await worker.greet(1, slots=3, stages=[{"workflow_name": "one", "workflow_version": 1}])
            for _ in range(2):
                await server.create(workflow_name="one")
            offer = await worker.offer()
            held = await scraped(application.metrics_address)
            assert held["stageline_sessions", "ready"] == 1
            assert held["stageline_session_slots",] == 3
            assert held["stageline_leases",] == 1
            assert held["stageline_offers_total",] == 1
            assert (held["stageline_jobs", "ready"], held["stageline_jobs", "leased"]) == (1, 1)
            assert held["stageline_oldest_ready_job_seconds",] >= 0
            assert held["stageline_store_up",] == 1
            assert (("stageline_database_connections", "reads", "idle") in held) is bool(ports.pools())
            await worker.report(offer)
            await worker.acknowledgement()
            worker.call.cancel()

            async def told() -> Samples | None:
                samples = await scraped(application.metrics_address)
                gone = ("stageline_stream_disconnects_total", "CONNECTION_LOST") in samples
                return samples if gone else None

            after = await eventually(told)
            assert after is not None
            assert after["stageline_reports_total", "RECORDED"] == 1
            assert after["stageline_outcomes_total", "COMPLETED"] == 1
            assert after["stageline_sessions", "ready"] == 0
            assert after["stageline_loop_lateness_seconds",] >= 0


async def test_a_store_that_is_away_is_told_and_hides_nothing_else() -> None:
    ports = memory_ports()

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(ports.queries, name)

        async def workload(self) -> None:
            raise StorageUnavailableError("away")

    away: Any = Away()
    settings = Settings(listen=ANY_PORT, metrics_listen="0")
    async with running(replace(ports, queries=away), settings) as server:
        samples = await scraped(server.application.metrics_address)
        assert samples["stageline_store_up",] == 0
        assert ("stageline_jobs", "ready") not in samples
        assert samples["stageline_sessions", "ready"] == 0


async def test_without_an_address_there_are_none_and_a_taken_one_is_told() -> None:
    async with running(memory_ports()) as server:
        assert server.application.metrics_address == ""
        taken = Settings(listen=ANY_PORT, metrics_listen=server.application.address)
        with pytest.raises(MetricsError, match=f"cannot serve metrics on {server.application.address}"):
            async with running(memory_ports(), taken):
                pass


def test_the_address_is_of_this_machine_unless_a_host_is_given() -> None:
    assert load_settings(metrics_listen="9464").metrics_listen == "127.0.0.1:9464"
    assert load_settings(metrics_listen="0.0.0.0:9464").metrics_listen == "0.0.0.0:9464"
    for wrong in ("here", "127.0.0.1", "65536", "a:-1"):
        with pytest.raises(SettingsError, match="METRICS_LISTEN"):
            load_settings(metrics_listen=wrong)
