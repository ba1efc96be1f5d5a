"""The auditor: counts from the database, and from what stages wrote down, what was lost and what was done twice."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.chaos.arena import Arena
from tests.support.invariants import violations

_STATES = "SELECT id::text, state FROM runs"
_STRAY = """
    SELECT count(*) FROM stage_results AS result JOIN run_payloads AS payload USING (run_id)
    WHERE result.output IS NOT NULL
    AND (result.output ->> 'number') IS DISTINCT FROM (payload.input ->> 'number')"""
_DOUBLED = """
    SELECT count(*) FROM (
        SELECT FROM events AS event JOIN stages AS stage
            ON stage.run_id = event.run_id AND stage.stage_id = event.payload ->> 'stage_id'
        WHERE event.type = 'stage:completed' GROUP BY stage.run_id, stage.number, stage.generation
        HAVING count(*) > stage.generation) AS doubled"""
_MORE_TRIES = """
    SELECT run_id::text, payload ->> 'stage_id', count(*) FROM events
    WHERE type IN ('stage:requeued', 'stage:retry_scheduled') GROUP BY 1, 2"""
_REQUEUED = (
    "SELECT count(*) FROM events WHERE type = 'stage:requeued' AND payload ->> 'reason' = 'lease_expired'"
)


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        runs: Runs that clients were told had been created.
        stages: Stages that completed.
        executions: Executions that stages wrote down.
        lost: Runs that did not come to the end that they should, or that are not there.
        doubled: Stages with two outcomes in one generation.
        stray: Outputs that belong to another run.
        repeated: Executions beyond the first of their attempt.
        handed_on: Jobs that were taken from workers whose sessions had ended.
        uncounted: Stages executed oftener than the database knows of deliveries.
        held: Jobs, and with them slots, that are still held.
        broken: Names of broken invariants.
    """

    runs: int
    stages: int
    executions: int
    lost: int
    doubled: int
    stray: int
    repeated: int
    handed_on: int
    uncounted: int
    held: int
    broken: tuple[str, ...]

    @property
    def figures(self) -> dict[str, int]:
        """The counts, for a table."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int)}

    def check(self, *, repeated_max: int | None = None) -> None:
        """Fails where the promise was broken.

        Args:
            repeated_max: The most executions that may have been repeated; None for any number.
        """
        assert self.broken == (), self
        assert (self.lost, self.doubled, self.stray, self.uncounted, self.held) == (0, 0, 0, 0, 0), self
        if repeated_max is not None:
            assert self.repeated <= repeated_max, self


def audit(arena: Arena, run_ids: Sequence[str], expected: Sequence[str] = ("COMPLETED",)) -> Audit:
    """Reads the database when all runs have ended.

    Args:
        arena: The scenario's.
        run_ids: The runs that clients were told of.
        expected: States that they may have ended in.
    """
    ask = arena.database.query
    states = dict(ask(_STATES))
    known = Counter({(run_id, stage_id): count for run_id, stage_id, count in ask(_MORE_TRIES)})
    executions = arena.journal.executions()
    return Audit(
        runs=len(run_ids),
        stages=ask("SELECT count(*) FROM events WHERE type = 'stage:completed'")[0][0],
        executions=sum(executions.values()),
        lost=sum(states.get(run_id) not in expected for run_id in run_ids),
        doubled=ask(_DOUBLED)[0][0],
        stray=ask(_STRAY)[0][0],
        repeated=arena.journal.repeated(),
        handed_on=ask(_REQUEUED)[0][0],
        uncounted=sum(count > 1 + known[stage] for stage, count in executions.items()),
        held=ask("SELECT count(*) FROM jobs")[0][0],
        broken=tuple(violations(arena.database.dsn)),
    )
