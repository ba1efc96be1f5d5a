"""The yardstick: what the database itself can do with the same rows, driven by hand-written SQL.

No gRPC, no kernel, no validation: each connection takes batches of 100 runs through three stages, a transaction for each
step, one statement a transaction. A step writes the rows and events that Stageline writes for it: it completes a stage,
stores its output, removes its job, and enqueues the next one already leased. Nothing that loses data is switched on.
"""

import contextlib
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
from uuid_utils.compat import uuid7

from benchmarks.workflows import PAYLOAD

BATCH = 100
STAGES = 3

_RUN_IDS = "SELECT run_id FROM unnest(%(run_ids)s::uuid[]) AS given (run_id)"

# A stage and its job begin to exist, leased.
_SCHEDULE = """
    INSERT INTO stages (run_id, number, stage_id, group_number, state, generation, attempt, delivery, lease_epoch,
        version, created_at, started_at)
    SELECT run_id, %(next)s, 'step-' || %(next)s::text, %(next)s, 'RUNNING', 1, 1, 1, 1, 1, now(), now() FROM given"""
_LEASE = """
    INSERT INTO jobs (run_id, stage_number, route_id, kind, state, priority, available_at, generation, lease_epoch,
        version, lease_token, session_id)
    SELECT run_id, %(next)s, 1, 'EXECUTE', 'LEASED', 5, now(), 1, 1, 1, gen_random_uuid(), %(session)s FROM given"""

CREATE = f"""
    WITH given AS ({_RUN_IDS}),
    run AS (
        INSERT INTO runs (id, namespace, workflow_name, workflow_version, state, priority, current_group, open_stages,
            failed_stages, event_sequence, version, created_at, started_at, total_cost, total_tokens)
        SELECT run_id, 'default', 'limit', 1, 'RUNNING', 5, 1, 1, 0, 3, 1, now(), now(), 0, 0 FROM given),
    payload AS (
        INSERT INTO run_payloads (run_id, input, config, labels)
        SELECT run_id, %(payload)s::json, '{{}}', '{{}}' FROM given),
    stage AS ({_SCHEDULE}),
    job AS ({_LEASE})
    INSERT INTO events (run_id, sequence, type, payload, occurred_at, causation_id)
    SELECT run_id, event.sequence, event.type, event.payload::json, now(), gen_random_uuid()
    FROM given, (VALUES
        (1, 'workflow:created', '{{"workflow_name":"limit","workflow_version":1,"priority":5}}'),
        (2, 'workflow:started', '{{}}'),
        (3, 'stage:started', '{{"stage_id":"step-1","stage_name":"Step 1","stage_number":1,"attempt":1}}')
    ) AS event (sequence, type, payload)"""

_FINISH = """
    stage AS (
        UPDATE stages SET state = 'COMPLETED', ended_at = now(), recorded_token = gen_random_uuid(),
            version = version + 1
        FROM given WHERE stages.run_id = given.run_id AND number = %(number)s),
    result AS (
        INSERT INTO stage_results (run_id, stage_number, generation, output, output_bytes, metrics)
        SELECT run_id, %(number)s, 1, %(payload)s::json, 200, '{}' FROM given),
    job AS (DELETE FROM jobs USING given WHERE jobs.run_id = given.run_id AND stage_number = %(number)s)"""

_COMPLETED_EVENT = """
    (1, 'stage:completed',
        '{"stage_id":"step-' || %(number)s::text || '","attempt":1,"duration_ms":1,"metrics":{}}')"""
_STARTED_EVENT = """
    (3, 'stage:started', '{"stage_id":"step-' || %(next)s::text || '","stage_name":"Step","stage_number":'
        || %(next)s::text || ',"generation":1,"attempt":1,"delivery":1}')"""

ADVANCE = f"""
    WITH given AS ({_RUN_IDS}), {_FINISH},
    next_stage AS ({_SCHEDULE}),
    next_job AS ({_LEASE}),
    run AS (
        UPDATE runs SET current_group = %(next)s, event_sequence = event_sequence + 3, version = version + 1
        FROM given WHERE id = run_id)
    INSERT INTO events (run_id, sequence, type, payload, occurred_at, causation_id)
    SELECT run_id, %(number)s * 3 + event.place, event.type, event.payload::json, now(), gen_random_uuid()
    FROM given, (VALUES {_COMPLETED_EVENT},
        (2, 'run:advanced', '{{"group":' || %(next)s::text || ',"stage_ids":["step-' || %(next)s::text || '"]}}'),
        {_STARTED_EVENT}
    ) AS event (place, type, payload)"""

COMPLETE = f"""
    WITH given AS ({_RUN_IDS}), {_FINISH},
    run AS (
        UPDATE runs SET state = 'COMPLETED', open_stages = 0, ended_at = now(),
            event_sequence = event_sequence + 2, version = version + 1
        FROM given WHERE id = run_id)
    INSERT INTO events (run_id, sequence, type, payload, occurred_at, causation_id)
    SELECT run_id, %(number)s * 3 + event.place, event.type, event.payload::json, now(), gen_random_uuid()
    FROM given, (VALUES {_COMPLETED_EVENT},
        (2, 'workflow:completed',
            '{{"duration_ms":1,"total_cost":"0","total_tokens":0,"output":' || %(payload)s || '}}')
    ) AS event (place, type, payload)"""


@dataclass(frozen=True)
class LimitResult:
    """What some connections did together.

    Attributes:
        connections: How many there were.
        stages_per_second: Of all of them.
        stages: How many there were.
    """

    connections: int
    stages_per_second: float
    stages: int


def measure_limit(dsn: str, *, connections: int, runs: int) -> LimitResult:
    """Takes runs through their stages on some connections at once.

    Args:
        dsn: A migrated database that nobody else uses.
        connections: How many work side by side.
        runs: In all; rounded up to whole batches for each connection.
    """
    batches = -(-runs // (BATCH * connections))
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(connections) as threads:
        opened = [
            stack.enter_context(psycopg.connect(dsn, autocommit=True, prepare_threshold=0))
            for _ in range(connections)
        ]
        for connection in opened:
            _one_batch(connection)  # prepares the statements
        began = time.perf_counter()
        list(threads.map(lambda connection: _batches(connection, batches), opened))
        seconds = time.perf_counter() - began
    stages = batches * connections * BATCH * STAGES
    return LimitResult(connections, stages / seconds, stages)


def _batches(connection: psycopg.Connection, count: int) -> None:
    for _ in range(count):
        _one_batch(connection)


def _one_batch(connection: psycopg.Connection) -> None:
    """Takes 100 new runs from creation to completion: four transactions."""
    values = {
        "run_ids": [uuid7() for _ in range(BATCH)],
        "payload": PAYLOAD,
        "session": uuid.uuid4(),
    }
    connection.execute(CREATE, {**values, "next": 1})
    for number in range(1, STAGES):
        connection.execute(ADVANCE, {**values, "number": number, "next": number + 1})
    connection.execute(COMPLETE, {**values, "number": STAGES})
