"""What the driver raises, as the errors of the engine.

    the connection failed, no connection was free, the server stops   StorageUnavailableError
    a guarded write found a row changed, a key was taken, a deadlock  ConcurrentChangeError
    a row contradicts itself (a CHECK)                                InvariantError

Everything else is a bug of this adapter and is raised as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from stageline_engine.errors import (
    ConcurrentChangeError,
    EngineError,
    InvariantError,
    StorageUnavailableError,
)

TAKEN_KEYS = {
    "pk_runs": "the run was there already",
    "pk_run_payloads": "the run's payload was there already",
    "pk_stages": "the stage was there already",
    "pk_jobs": "the stage had a live job already",
    "pk_events": "another transaction wrote the run's next event",
    "pk_stage_results": "another transaction wrote the stage's result",
    "pk_stage_progress": "another transaction told the stage's progress",
    "pk_suspended_states": "another transaction suspended the stage",
    "pk_resume_tokens": "the resume token was there already",
    "pk_annotations": "another transaction made the same annotation",
    "pk_ai_calls": "another transaction booked the same AI call",
    "pk_lost_leases": "another transaction lost the same lease",
    "pk_submissions": "another transaction declared the same submission",
    "pk_idempotency_keys": "another transaction used the idempotency key",
    "pk_outbox": "another transaction opened the run's stream",
    "pk_event_commits": "the commit was noted already",
    "pk_event_log": "the place in the log was taken already",
    "pk_event_consumers": "the consumer was known already",
    "pk_sessions": "the session was there already",
    "pk_workflow_versions": "another transaction stored the next version",
    "uq_workflow_versions_namespace_name_digest": "another transaction stored the same definition",
    "pk_stage_routes": "the route was there already",
    "uq_stage_routes_stage": "the version had its routes already",
    "pk_blobs": "the blob was announced already",
    "pk_payloads": "another transaction stored the same payload",
    "pk_payload_uses": "another transaction referred to the same payload",
    "pk_artifacts": "another transaction put the same artifact",
    "pk_logs": "the log line was there already",
    "pk_access_tokens": "the token was there already",
    "uq_access_tokens_secret_sha256": "the token's secret was there already",
}
"""What it means that a key was taken, by the constraint's name; try again and the new state is seen."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises the engine's errors in place of the driver's."""
    try:
        yield
    except (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests) as error:
        raise translate(error) from error


def translate(error: Exception) -> Exception:
    """Returns the engine's error for one of the driver's, or the error itself where it is a bug."""
    match error:
        case pg.DivisionByZero():
            return ConcurrentChangeError("a row was changed since it was read")
        case pg.UniqueViolation() | pg.CheckViolation() | pg.ForeignKeyViolation():
            return _violated(error)
        case pg.DeadlockDetected() | pg.SerializationFailure():
            return ConcurrentChangeError(str(error))
        case psycopg.OperationalError() | psycopg.InterfaceError() | pg.QueryCanceled():
            return StorageUnavailableError(_first_line(error) or "the connection to the database is lost")
        case PoolTimeout() | PoolClosed() | TooManyRequests():
            return StorageUnavailableError(
                f"no connection to the database could be had: {_first_line(error)}"
            )
    return error


def _violated(error: psycopg.Error) -> EngineError:
    name = error.diag.constraint_name or ""
    if isinstance(error, pg.UniqueViolation):
        return ConcurrentChangeError(TAKEN_KEYS.get(name, f"{name} is taken"))
    return InvariantError(f"a row of {error.diag.table_name} breaks {name}: {error.diag.message_primary}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")
