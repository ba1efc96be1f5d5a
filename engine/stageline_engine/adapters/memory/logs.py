"""Log lines of stages."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.ports import LogLine


class MemoryLogStore:
    """The LogStore port. See there for what each method promises."""

    def __init__(self, state: MemoryState) -> None:
        """Takes the state to keep lines in."""
        self._state = state

    async def append(self, lines: Sequence[LogLine]) -> None:
        """Stores lines, all or none."""
        first = self._state.log_lines_count + 1
        self._state.log_lines_count += len(lines)
        self._state.logs += [
            replace(line, id=number, metadata=dict(line.metadata)) for number, line in enumerate(lines, first)
        ]

    async def list(
        self, namespace: str, run_id: UUID, *, after_id: int = 0, stage_number: int = 0, limit: int
    ) -> Sequence[LogLine]:
        """Returns a run's lines after an id, oldest first."""
        run = self._state.runs.get(run_id)
        if run is None or run.namespace != namespace:
            return []
        found = [
            line
            for line in self._state.logs[bisect_right(self._state.logs, after_id, key=lambda line: line.id) :]
            if line.run_id == run_id and stage_number in (0, line.stage_number)
        ]
        return found[:limit]
