"""What a client is told of a server itself: its workers, its events, its maintenance."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from stageline_sdk.runs import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """Some events of all runs.

    Attributes:
        events: In order per run. Empty now and then, to move the cursor on.
        cursor: Where to resume after dealing with them. Opaque, at most 255 bytes.
    """

    events: tuple[Event, ...]
    cursor: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceTick:
    """What one pass over a server's maintenance did.

    Attributes:
        reaped_leases: Leases taken back from workers that were lost.
        reaped_runs: Runs that were settled, or ran out of time.
        expired_stages: Stages that ran out of time.
        promoted_jobs: Jobs made ready whose time had come.
        started_runs: Runs that had waited for their time.
        flushed_events: Events that plugins took.
        refused_events: Events that plugins refused.
        purged_runs: Ended runs that were forgotten.
        purged_records: Idempotency keys, ended sessions and log entries that were forgotten.
        more: Whether there is more to do at once.
    """

    reaped_leases: int
    reaped_runs: int
    expired_stages: int
    promoted_jobs: int
    started_runs: int
    flushed_events: int
    refused_events: int
    purged_runs: int
    purged_records: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a namespace holds.

    Attributes:
        runs: Runs by state, such as `{"RUNNING": 3}`; a state without any is left out.
        ready_jobs: Jobs that could start now and wait for a worker.
        leased_jobs: Jobs that workers hold.
        delayed_jobs: Jobs that wait for their time: a retry, a check.
        oldest_ready_age: How long the oldest ready job has waited; zero where there is none.
        sessions: Workers that are connected, or may come back to their session.
        slots: The slots of them all.
        undelivered_events: Events that wait to be delivered; one counts once for each plugin.
        dead_letters: Runs whose events stand at one that a plugin refused for good; one counts once for each plugin.
    """

    runs: Mapping[str, int]
    ready_jobs: int
    leased_jobs: int
    delayed_jobs: int
    oldest_ready_age: timedelta
    sessions: int
    slots: int
    undelivered_events: int
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStages:
    """Stages of one workflow version that a worker can run; no ids means all of them."""

    workflow_name: str
    workflow_version: int
    stage_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSession:
    """A worker's session: of one that is connected, or was.

    Attributes:
        session_id: Its session.
        name: What it calls itself.
        sdk: Its SDK with version and language.
        slots: Jobs that it takes at a time.
        held_jobs: Jobs that it holds now.
        labels: As it told them.
        server_id: The server that its stream is on, or was on last.
        draining: Whether it takes nothing new.
        connected_at: When its session began, with a time zone.
        last_seen_at: When it was last heard of; None where the server that answered does not know.
        disconnect_reason: Why its last stream ended, such as `CONNECTION_LOST` or `SERVER_SHUTDOWN`; empty while it has one.
        disconnected_at: When that was; None while it has a stream.
        end_reason: Why its session ended: `DRAINED`, or `TIMED_OUT`; empty for a living one.
        ended_at: When it did; None for a living one.
    """

    session_id: str
    name: str
    sdk: str
    slots: int
    held_jobs: int
    labels: Mapping[str, str]
    server_id: str
    draining: bool
    connected_at: datetime
    stages: tuple[WorkerStages, ...] = ()
    last_seen_at: datetime | None = None
    disconnect_reason: str = ""
    disconnected_at: datetime | None = None
    end_reason: str = ""
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that could not be delivered, and that holds up the later ones of its run.

    Attributes:
        id: Names it for a replay.
        event: The event.
        plugin: What failed to take it.
        attempts: Tries that were made.
        last_error: What went wrong at the last one.
        at: When it was given up, with a time zone.
    """

    id: str
    event: Event
    plugin: str
    attempts: int
    last_error: str
    at: datetime
