"""The metrics of one server by name. ``docs/operations.md`` describes each; names and labels are a promise to dashboards."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from stageline_server.dispatch.counts import Counts
from stageline_server.telemetry.snapshot import Snapshot


def server_metrics(server_id: str, version: str, counts: Counts, seen: Snapshot) -> Iterator[Metric]:
    """Yields every metric.

    Args:
        server_id: The server's id.
        version: Of the distribution.
        counts: What it has done since it began.
        seen: What it is doing.
    """
    identity = GaugeMetricFamily(
        "stageline_server", "1, with the server's id and version.", labels=["server_id", "version"]
    )
    identity.add_metric([server_id, version], 1)
    yield identity
    yield from _of_sessions(counts, seen)
    yield from _of_reports(counts)
    yield from _of_the_loop(seen)
    yield from _of_the_store(seen)


def _of_sessions(counts: Counts, seen: Snapshot) -> Iterator[Metric]:
    yield _gauges("stageline_sessions", "Worker streams to this server.", "state", seen.sessions)
    yield _gauge("stageline_session_slots", "Slots of those workers.", seen.slots)
    yield _gauge("stageline_session_free_slots", "Slots that take a job now.", seen.free_slots)
    yield _gauge("stageline_leases", "Jobs that those workers hold.", seen.leases)
    yield _gauge("stageline_outbox_bytes", "What waits for those workers' streams.", seen.outbox_bytes)
    yield _counters(
        "stageline_stream_disconnects", "Ends of worker streams by reason.", "reason", counts.disconnects
    )
    yield _counter("stageline_offers", "Jobs offered to workers on streams.", counts.offers)
    yield _counter(
        "stageline_offers_returned",
        "Jobs leased, and handed on since no worker took them over.",
        counts.offers_returned,
    )


def _of_reports(counts: Counts) -> Iterator[Metric]:
    yield _counters("stageline_reports", "Reports by what became of them.", "disposition", counts.reports)
    yield _counters("stageline_outcomes", "Recorded reports by what they said.", "outcome", counts.outcomes)


def _of_the_loop(seen: Snapshot) -> Iterator[Metric]:
    yield _gauges(
        "stageline_commands_waiting",
        "Commands that wait for their transaction.",
        "batch",
        seen.commands_waiting,
    )
    yield _gauge(
        "stageline_loop_lateness_seconds",
        "How late the event loop was at worst, in the last minute.",
        seen.lateness_seconds,
    )


def _of_the_store(seen: Snapshot) -> Iterator[Metric]:
    connections = GaugeMetricFamily(
        "stageline_database_connections", "Connections to the database.", labels=["pool", "state"]
    )
    for name, pool in seen.pools.items():
        connections.add_metric([name, "busy"], pool.busy)
        connections.add_metric([name, "idle"], pool.idle)
    yield connections
    waiting = {name: pool.waiting for name, pool in seen.pools.items()}
    yield _gauges("stageline_database_waiting", "Who waits for a connection.", "pool", waiting)
    yield _gauge(
        "stageline_store_up", "Whether the store answered this time: 1 or 0.", seen.workload is not None
    )
    if seen.workload is None:
        return
    load = seen.workload
    jobs = {"ready": load.ready, "leased": load.leased, "delayed": load.delayed}
    yield _gauges("stageline_jobs", "Live jobs of the whole deployment.", "state", jobs)
    age = max(0.0, (seen.at - load.oldest_ready_at).total_seconds()) if load.oldest_ready_at else 0.0
    yield _gauge("stageline_oldest_ready_job_seconds", "How long the oldest ready job has waited.", age)
    yield _gauge("stageline_dead_letters", "Event streams that stand at a dead letter.", load.dead_letters)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    return _filled(family, values.items())


def _counters(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    return _filled(family, values.items())


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, values: Iterable[tuple[str, int]]
) -> GaugeMetricFamily | CounterMetricFamily:
    for value, number in values:
        family.add_metric([value], number)
    return family
