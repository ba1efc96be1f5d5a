"""What goes with a run goes from every table."""

from stageline_engine.adapters.postgres.statements.retention import TABLES_OF_RUNS
from stageline_engine.adapters.postgres.tables import metadata

KEPT_APART = {
    "ai_calls",  # money that was spent stays spent: what it was for outlives the run
    "artifacts",  # deleted too, and their bytes with them
    "outbox",  # a run with a stream in it is not purged
    "event_log",  # trimmed by its own age, never later than the runs that it tells of
}


def test_every_table_with_rows_of_runs_is_purged_with_them() -> None:
    of_runs = {name for name, table in metadata.tables.items() if "run_id" in table.columns}
    assert of_runs - KEPT_APART == set(TABLES_OF_RUNS)
