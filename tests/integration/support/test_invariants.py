"""Each question about the invariants finds the damage that it is there for, and finds none in what is sound."""

import psycopg
import pytest

from benchmarks.limit import measure_limit
from stageline_migrations import upgrade
from tests.support.fixtures import CreateDatabase
from tests.support.invariants import VIOLATIONS, violations_seen_by

ONE_RUN = "(SELECT id FROM runs ORDER BY id LIMIT 1)"

DAMAGE = {
    "I2 a stage is completed exactly once per generation": f"""
        UPDATE events SET type = 'stage:completed', payload = '{{"stage_id":"step-2"}}'
        WHERE run_id = {ONE_RUN} AND type = 'run:advanced'""",
    "I2 a completed stage has its output, and no other stage has one": f"""
        DELETE FROM stage_results WHERE run_id = {ONE_RUN} AND stage_number = 2""",
    "I3 a stage starts only when the whole group before it is complete": f"""
        UPDATE events SET payload = '{{"stage_id":"step-3"}}'
        WHERE run_id = {ONE_RUN} AND payload ->> 'stage_id' = 'step-2' AND type = 'stage:started'""",
    "I4 an ended run has no live job": f"""
        INSERT INTO jobs (run_id, stage_number, route_id, kind, state, priority, available_at, generation, lease_epoch,
            version)
        VALUES ({ONE_RUN}, 3, 1, 'EXECUTE', 'READY', 5, now(), 1, 1, 1)""",
    "I4 an ended run has no open stage": f"""
        UPDATE stages SET state = 'PENDING', ended_at = NULL WHERE run_id = {ONE_RUN} AND number = 3""",
    "I4 a stage that has not ended has its job, and no other stage has one": f"""
        UPDATE stages SET state = 'RUNNING', ended_at = NULL WHERE run_id = {ONE_RUN} AND number = 1""",
    "I5 sequences have no gap, no duplicate, and end where the run says": f"""
        DELETE FROM events WHERE run_id = {ONE_RUN} AND type = 'run:advanced'""",
    "I5 the last event of a run tells its state": f"""
        UPDATE events SET type = 'workflow:failed' WHERE run_id = {ONE_RUN} AND type = 'workflow:completed'""",
    "I5 a run is told to have ended exactly once, if it has": f"""
        UPDATE events SET type = 'workflow:failed' WHERE run_id = {ONE_RUN} AND sequence = 5""",
    "the counters of a run are those of its stages": f"""
        UPDATE runs SET failed_stages = 1 WHERE id = {ONE_RUN}""",
}


@pytest.fixture
def sound(create_database: CreateDatabase) -> str:
    """A database with completed runs."""
    url = create_database(upgrade)
    measure_limit(url, connections=1, runs=1)
    return url


def test_every_question_has_its_damage() -> None:
    assert DAMAGE.keys() == VIOLATIONS.keys()


def test_each_question_finds_its_damage(sound: str) -> None:
    for name, damage in DAMAGE.items():
        with psycopg.connect(sound) as connection:
            assert violations_seen_by(connection) == {}
            assert connection.execute(damage.encode()).rowcount >= 1, name
            assert name in violations_seen_by(connection)
            connection.rollback()
