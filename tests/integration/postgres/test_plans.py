"""No statement reads a whole table: each finds its rows by an index."""

import re
from collections.abc import Iterator

import psycopg
import pytest

from stageline_engine.adapters.postgres.statements import (
    annotations,
    changes,
    event_log,
    jobs,
    outbox,
    retention,
    runs,
    sessions,
    settings,
    usage,
)
from stageline_engine.ports import UsageDimension
from stageline_migrations import upgrade
from tests.support.fixtures import CreateDatabase
from tests.support.postgres import DatabaseServer

FILLED_AT = "'2030-01-01T00:00:00Z'::timestamptz"
RUNS = 20_000
# Thousands of runs of three stages: the first completed, the second ready, delayed or leased.
FILL = f"""
    INSERT INTO runs SELECT gen_random_uuid(), 'default', 'flow', 1, 'RUNNING', n % 10, 2, 1, 0, 6, 3, {FILLED_AT},
           {FILLED_AT}, NULL, NULL, 0, 0 FROM generate_series(1, {RUNS}) AS n;
    INSERT INTO run_payloads SELECT id, '{{}}', '{{"a": {{}}}}', '{{}}' FROM runs;
    INSERT INTO stages SELECT id, 1, 'a', 1, 'COMPLETED', 0, 1, 1, 1, NULL, 2, {FILLED_AT}, {FILLED_AT}, {FILLED_AT}
           FROM runs;
    INSERT INTO stages SELECT id, 2, 'b', 2, 'PENDING', 0, 0, 0, 0, NULL, 1, {FILLED_AT}, NULL, NULL FROM runs;
    INSERT INTO stage_results SELECT id, 1, 0, '"out"', 5, '{{}}', NULL FROM runs;
    INSERT INTO jobs SELECT id, 2, 1 + priority % 5, 'EXECUTE', 'READY', priority, {FILLED_AT}, 0, 0, 1, NULL, NULL
           FROM runs;
    UPDATE jobs SET state = 'DELAYED' WHERE priority = 3;
    INSERT INTO sessions SELECT gen_random_uuid(), 'default', 'w', 's', 10, 'py', {FILLED_AT}, {FILLED_AT}, '{{}}',
           CASE WHEN n > 20 THEN {FILLED_AT} END, '' FROM generate_series(1, {RUNS}) AS n;
    UPDATE jobs SET state = 'LEASED', lease_token = gen_random_uuid(),
           session_id = (SELECT id FROM sessions WHERE ended_at IS NULL LIMIT 1) WHERE priority = 4;
    INSERT INTO events SELECT id, n, 'stage:started', '{{}}', {FILLED_AT}, id FROM (SELECT id FROM runs LIMIT 1000) AS run, generate_series(1, 6) AS n;
    INSERT INTO outbox (run_id, consumer, published_sequence, pending_sequence, due_at, tries, dead, last_error)
           SELECT id, 'sink', 3, 6, {FILLED_AT}, 0, false, '' FROM runs;
    INSERT INTO event_log (run_id, first_sequence, last_sequence, logged_at) SELECT id, 1, 6, {FILLED_AT} FROM runs;
    INSERT INTO event_commits (run_ids, sequences) SELECT ARRAY[id], ARRAY[1] FROM runs;
    INSERT INTO event_consumers VALUES ('sink', {FILLED_AT}, {FILLED_AT});
    INSERT INTO logs (run_id, stage_number, attempt, level, message, metadata, logged_at)
           SELECT id, 1, 1, 'INFO', '', '{{}}', {FILLED_AT} FROM runs;
    INSERT INTO idempotency_keys SELECT 'default', 'run.create', id::text, '', '{{}}', {FILLED_AT} FROM runs;
    INSERT INTO suspended_states SELECT id, 2, 0, '{{}}' FROM runs;
    INSERT INTO resume_tokens SELECT uuid_send(id), id, 2, 0, '', NULL, NULL FROM runs;
    INSERT INTO annotations SELECT id, 'n', 'key', '1', NULL, 'run', '', '', '', '', false, 0, 0, 0, {FILLED_AT} FROM runs;
    INSERT INTO ai_calls
           SELECT 'default', gen_random_uuid(), {FILLED_AT} + n * interval '1 s', {FILLED_AT}, run.id, 1, 'a', 1, 1,
           gen_random_uuid(), 'a.' || n % 50, 'TEXT', 'model-' || n % 20, '', '', NULL, NULL, NULL, NULL, NULL, NULL, 1, 1,
           NULL, NULL, 0.01, 'PROVIDER', NULL, NULL, NULL, '', ''
           FROM (SELECT id, row_number() OVER () AS n FROM runs) AS run;
    INSERT INTO lost_leases SELECT run_id, 1, lease_token FROM ai_calls LIMIT 1000;
    UPDATE jobs SET deadline_at = {FILLED_AT} WHERE priority = 5;
    UPDATE runs SET deadline_at = {FILLED_AT} WHERE priority = 5;
    INSERT INTO runs SELECT gen_random_uuid(), 'default', 'flow', 1, 'COMPLETED', 5, 2, 0, 0, 6, 3, {FILLED_AT},
           {FILLED_AT}, {FILLED_AT}, NULL, 0, 0, NULL, {FILLED_AT} FROM generate_series(1, {RUNS});
    ANALYZE;
"""

REPORT = tuple(
    part
    for part in changes.PARTS
    if part.name
    in {
        "runs_updated",
        "stages_updated",
        "stages_inserted",
        "jobs_inserted",
        "jobs_deleted",
        "results",
        "events",
    }
)
STATEMENTS = {
    "claim": jobs.CLAIM_JOBS,
    "queue_heads": jobs.QUEUE_HEADS,
    "queue_heads_of_many": jobs.QUEUE_HEADS_OF_MANY,
    "promote": jobs.PROMOTE_JOBS,
    "next_delayed": jobs.NEXT_DELAYED,
    "jobs_of_sessions": jobs.JOBS_OF_SESSIONS,
    "lock_runs": runs.LOCK_RUNS,
    "load_stages": runs.LOAD_STAGES,
    "load_all_stages": runs.LOAD_ALL_STAGES,
    "load_outputs": runs.LOAD_OUTPUTS,
    "load_configs": runs.LOAD_CONFIGS,
    "get_run": runs.GET_RUN,
    "get_stages": runs.GET_STAGES,
    "list_events": runs.LIST_EVENTS,
    "list_runs": runs.list_runs(()),
    "list_runs_before": runs.list_runs(("workflow_name", "before")),
    "list_runs_filtered": runs.list_runs(("created_after", "created_before", "labels")),
    "load_waits": runs.LOAD_WAITS,
    "read_keys": runs.READ_KEYS,
    "claim_outbox": outbox.CLAIM_OUTBOX,
    "settle_outbox": outbox.SETTLE_OUTBOX,
    "next_due": outbox.NEXT_DUE,
    "keep_consumers": event_log.KEEP_CONSUMERS,
    "sequence_events": event_log.SEQUENCE_EVENTS,
    "read_log": event_log.READ_LOG,
    "log_bounds": event_log.LOG_BOUNDS,
    "doomed_runs": retention.DOOMED_RUNS,
    "settle_calls": usage.SETTLE_CALLS,
    "purge_runs": retention.PURGE_RUNS,
    "purge_keys": retention.PURGE_KEYS,
    "purge_sessions": retention.PURGE_SESSIONS,
    "trim_log": retention.TRIM_LOG,
    "expire_sessions": sessions.EXPIRE_SESSIONS,
    "ended_holders": sessions.ENDED_HOLDERS,
    "held_leases": sessions.HELD_LEASES,
    "renew_sessions": sessions.RENEW_SESSIONS,
    "due_deadlines": jobs.DUE_DEADLINES,
    "claim_pending": runs.CLAIM_PENDING,
    "next_pending": runs.NEXT_PENDING,
    "stuck_runs": runs.STUCK_RUNS,
    "load_resume_token": runs.LOAD_RESUME_TOKEN,
    "update_configs": runs.UPDATE_CONFIGS,
    "revive_outbox": outbox.REVIVE_OUTBOX,
    "list_dead_letters": outbox.LIST_DEAD_LETTERS,
    "known_annotations": annotations.KNOWN_ANNOTATIONS,
    "list_annotations": annotations.list_annotations((), after=False),
    "list_annotations_after": annotations.list_annotations(annotations.FILTERS, after=True),
    "known_ai_calls": usage.KNOWN_AI_CALLS,
    "list_calls": usage.list_calls((), after=False, with_contents=False),
    "list_calls_after": usage.list_calls(usage.FILTERS, after=True, with_contents=True),
    "list_calls_of_run": usage.list_calls(("run_id",), after=False, with_contents=False),
    "sum_calls": usage.sum_calls(("topic_prefix",), tuple(UsageDimension)),
    "sum_of_run": usage.SUM_OF_RUN,
    "report": changes.write_changes(REPORT, payloads=True, outputs=True, states=False),
    "every_part": changes.write_changes(changes.PARTS, payloads=True, outputs=True, states=True),
}


INDEXES_OF_OPEN = {
    "due_deadlines": {"ix_jobs_deadline", "ix_runs_deadline"},
    "claim_pending": {"ix_runs_pending"},
    "next_pending": {"ix_runs_pending"},
    "stuck_runs": {"ix_runs_open"},
    "revive_outbox": {"ix_outbox_dead"},
    "list_calls": {"ix_ai_calls_newest"},
    "list_calls_of_run": {"ix_ai_calls_of_run"},
    "sum_calls": {"ix_ai_calls_topic"},
    "sum_of_run": {"ix_ai_calls_of_run"},
    "doomed_runs": {"ix_runs_ended"},
    "settle_calls": {"ix_ai_calls_of_run"},
    "purge_keys": {"ix_idempotency_keys_age"},
    "purge_sessions": {"ix_sessions_ended"},
}
ID = "gen_random_uuid()"
QUEUE = {
    "claim": "ARRAY[1, 2, 3, 4, 5], 20",
    "queue_heads": "ARRAY[1, 2, 3, 4, 5]",
    "queue_heads_of_many": "ARRAY[1, 2, 3, 4, 5]",
    "promote": f"{FILLED_AT}, 20",
    "next_delayed": "",
    "jobs_of_sessions": f"ARRAY[{ID}]",
    "held_leases": ID,
    "lock_runs": f"ARRAY[{ID}, {ID}]",
    "load_stages": f"ARRAY[{ID}, {ID}], ARRAY[1, 2]",
}


@pytest.fixture(scope="module")
def filled_url(postgres_server: DatabaseServer) -> Iterator[str]:
    """A database of several thousand runs, shared since it is only looked at."""
    url = postgres_server.create_database(upgrade)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL.encode())
    yield url
    postgres_server.drop_database(url)


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_has_its_index(filled_url: str, name: str) -> None:
    """Told to avoid sequential scans, as the adapter's connections are, the planner uses one only where it must."""
    with psycopg.connect(filled_url, autocommit=True) as connection:
        connection.execute(settings.CONFIGURE)
        given = ", ".join(["NULL"] * _parameters_of(STATEMENTS[name]))
        plan = _plan(connection, STATEMENTS[name], given)
    assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize(("name", "indexes"), INDEXES_OF_OPEN.items())
def test_what_has_ended_is_not_looked_at(filled_url: str, name: str, indexes: set[str]) -> None:
    """What is due is found by an index that holds nothing else, however much history there is."""
    with psycopg.connect(filled_url, autocommit=True) as connection:
        connection.execute(settings.CONFIGURE)
        given = ", ".join(["NULL"] * _parameters_of(STATEMENTS[name]))
        plan = _plan(connection, STATEMENTS[name], given)
    assert all(index in plan for index in indexes), plan


@pytest.mark.parametrize("name", QUEUE)
def test_the_queue_is_read_by_index_of_the_planners_own_choice(filled_url: str, name: str) -> None:
    with psycopg.connect(filled_url, autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_custom_plan")
        plan = _plan(connection, STATEMENTS[name], QUEUE[name])
    assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize("name", ["report", "every_part", "claim", "load_stages", "queue_heads"])
def test_a_plan_made_while_the_tables_are_new_reads_no_whole_index(
    create_database: CreateDatabase, name: str
) -> None:
    """Plans are kept: one that suits empty tables would be used until statistics tell that they have grown."""
    with psycopg.connect(create_database(upgrade), autocommit=True) as connection:
        connection.execute(settings.CONFIGURE)
        given = ", ".join(["NULL"] * _parameters_of(STATEMENTS[name]))
        plan = _plan(connection, STATEMENTS[name], given).splitlines()
    scans = [(line, plan[place + 1]) for place, line in enumerate(plan) if " Scan using " in line]
    assert scans
    assert all("Index Cond" in condition for _, condition in scans), "\n".join(plan)


@pytest.mark.parametrize(
    ("filters", "given", "index"),
    [
        (("created_before",), "'2020-01-01'", "ix_runs_created"),
        (("created_after", "created_before"), "'2029-12-31', '2029-12-31 12:00'", "ix_runs_created"),
        (("labels",), '\'{"team": "few"}\'', "ix_run_payloads_labels"),
        (("labels", "before"), f'\'{{"team": "few"}}\', {ID}', "ix_run_payloads_labels"),
    ],
)
def test_a_list_of_few_runs_among_many_reads_no_others(
    filters_url: str, filters: tuple[str, ...], given: str, index: str
) -> None:
    with psycopg.connect(filters_url, autocommit=True) as connection:
        connection.execute(settings.CONFIGURE)
        connection.execute(settings.PLAN_FOR_VALUES.replace(b"LOCAL ", b""))
        plan = _plan(connection, runs.list_runs(filters), f"'default', 50, {given}")
    assert index in plan, plan


@pytest.fixture(scope="module")
def filters_url(filled_url: str) -> str:
    """The same database, in which a few of the many runs with labels have one of their own."""
    with psycopg.connect(filled_url, autocommit=True) as connection:
        connection.execute("""UPDATE run_payloads SET labels = '{"team": "many"}'""")
        connection.execute(
            """UPDATE run_payloads SET labels = '{"team": "few"}'
               WHERE run_id IN (SELECT id FROM runs WHERE state = 'RUNNING' LIMIT 20)"""
        )
        connection.execute("ANALYZE run_payloads")
    return filled_url


def _parameters_of(statement: bytes) -> int:
    return max((int(number) for number in re.findall(rb"\$(\d+)", statement)), default=0)


def _plan(connection: psycopg.Connection, statement: bytes, given: str) -> str:
    connection.execute(b"PREPARE planned AS " + statement)
    lines = connection.execute(f"EXPLAIN EXECUTE planned{f'({given})' if given else ''}".encode())
    return "\n".join(line for (line,) in lines)
