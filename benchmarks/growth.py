"""W4: the same load with many finished runs in the database, and with many queued ones."""

from typing import LiteralString

import psycopg

from benchmarks import workflows
from benchmarks.bench import Bench
from benchmarks.latency import latency
from benchmarks.load import saturate

_RUNS: LiteralString = """
    INSERT INTO runs (id, namespace, workflow_name, workflow_version, state, priority, current_group, open_stages,
        failed_stages, event_sequence, version, created_at, started_at, ended_at, total_cost, total_tokens)
    SELECT gen_random_uuid(), 'default', %(name)s, 1, %(state)s, 0, %(group)s, %(open)s, 0, 11, 4, now(), now(),
        CASE WHEN %(open)s = 0 THEN now() END, 0, 0
    FROM generate_series(1, %(count)s) RETURNING id"""

FINISHED: LiteralString = f"""
    WITH run AS ({_RUNS}),
    payload AS (INSERT INTO run_payloads (run_id, input, config, labels)
        SELECT id, %(payload)s::json, '{{}}', '{{}}' FROM run),
    stage AS (INSERT INTO stages (run_id, number, stage_id, group_number, state, generation, attempt, delivery,
            lease_epoch, version, created_at, started_at, ended_at)
        SELECT id, number, 'step-' || number, number, 'COMPLETED', 1, 1, 1, 1, 2, now(), now(), now()
        FROM run, generate_series(1, 3) AS number),
    result AS (INSERT INTO stage_results (run_id, stage_number, generation, output, output_bytes, metrics)
        SELECT id, number, 1, %(payload)s::json, 200, '{{}}' FROM run, generate_series(1, 3) AS number)
    INSERT INTO events (run_id, sequence, type, payload, occurred_at, causation_id)
    SELECT id, sequence, 'stage:completed', '{{}}', now(), id FROM run, generate_series(1, 11) AS sequence"""
"""Runs of three stages with all their rows; the events are told alike, as nobody reads them."""

QUEUED: LiteralString = f"""
    WITH run AS ({_RUNS}),
    payload AS (INSERT INTO run_payloads (run_id, input, config, labels)
        SELECT id, %(payload)s::json, '{{}}', '{{}}' FROM run),
    stage AS (INSERT INTO stages (run_id, number, stage_id, group_number, state, generation, attempt, delivery,
            lease_epoch, version, created_at)
        SELECT id, 1, 'step-1', 1, 'PENDING', 1, 0, 0, 0, 1, now() FROM run)
    INSERT INTO jobs (run_id, stage_number, route_id, kind, state, priority, available_at, generation, lease_epoch,
        version)
    SELECT run.id, 1, route.id, 'EXECUTE', 'READY', 0, now(), 1, 0, 1
    FROM run, stage_routes AS route WHERE route.workflow_name = %(name)s AND route.stage_number = 1"""
"""Runs whose first job waits for a worker that never comes."""

SEEDED_AT_ONCE = 10_000


async def growth(bench: Bench) -> dict[str, float]:
    """Measures, adds queued runs, measures, adds finished ones, measures. What is added stays: run it last."""
    await bench.client.register_workflow(workflows.QUEUED)
    found = await _figures(bench)
    base = found["stages_per_second"]
    _seed(bench, QUEUED, bench.options.queued, state="RUNNING", group=1, open=1)
    queued = await _figures(bench)
    _seed(bench, FINISHED, bench.options.finished, state="COMPLETED", group=3, open=0)
    finished = await _figures(bench)
    return {
        **{f"grown_{name}": value for name, value in finished.items()},
        f"stages_per_second_of_{bench.options.queued}_queued__of_none": queued["stages_per_second"] / base,
        f"stages_per_second_of_{bench.options.finished}_finished__of_few": finished["stages_per_second"]
        / base,
    }


async def _figures(bench: Bench) -> dict[str, float]:
    load = await saturate(bench.client, bench.options.runs)
    return {"stages_per_second": load.stages_per_second, **await latency(bench)}


def _seed(bench: Bench, statement: LiteralString, count: int, **values: str | int) -> None:
    """Adds runs past the server. Statistics are left to the database itself, as in production."""
    given = {"name": workflows.QUEUED.name, "payload": workflows.PAYLOAD, **values}
    with psycopg.connect(bench.server.dsn, autocommit=True) as connection:
        for start in range(0, count, SEEDED_AT_ONCE):
            connection.execute(statement, {**given, "count": min(SEEDED_AT_ONCE, count - start)})
