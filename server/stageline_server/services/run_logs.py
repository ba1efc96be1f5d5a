"""The log lines of a run, a page at a time."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from stageline.v1 import run_service_pb2 as messages
from stageline_engine.model.run import RunRow, RunState
from stageline_engine.ports import LogLine
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError
from stageline_server.mapping.fields import namespace_of, out_of_range, page_size_of, run_id_of
from stageline_server.mapping.page_tokens import page_token, position_of
from stageline_server.mapping.to_protos import log_level, log_message
from stageline_server.services.run_reader import RunReader
from stageline_server.shutdown import Shutdown

STAGE_IDS_TOLD_MAX = 50
"""Stage ids named in a refusal."""


WAIT_MAX = timedelta(seconds=30)
"""The longest that an answer is held back: shorter than what proxies cut off."""

LOOK_INTERVAL = timedelta(seconds=1)
"""Lines that reach another server are found by looking: this often, and only while somebody waits for them."""

_NO_EVENTS = 2**62


class RunLogReader:
    """Answers ListRunLogs."""

    def __init__(self, plane: ControlPlane, reader: RunReader, shutdown: Shutdown) -> None:
        """Takes the plane, who knows the run's stages, and what says that the server drains."""
        self._lines = plane.ports.logs
        self._queries = plane.ports.queries
        self._hub = plane.hub
        self._reader = reader
        self._shutdown = shutdown

    async def page(self, request: messages.ListRunLogsRequest) -> messages.ListRunLogsResponse:
        """Returns one page.

        Raises:
            RefusedError: There is no such run or stage, or a field breaks its rule.
        """
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        size, wait = page_size_of(request.page_size), _wait_of(request)
        binding = ("ListRunLogs", namespace, str(run_id), request.stage_id, int(request.level_min))
        after_id = position_of(request.page_token, binding, int) or _after_of(request)
        details = await self._reader.details(namespace, run_id, with_outputs=False)
        run, definition = details.run, await self._reader.definition(details)
        number = 0
        if request.stage_id:
            number = definition.number_by_id.get(request.stage_id, 0)
            if not number:
                name, version = run.workflow_name, run.workflow_version
                raise RefusedError(
                    stage_not_found(name, version, request.stage_id, list(definition.number_by_id))
                )

        async def read() -> Sequence[LogLine]:
            return await self._lines.list(
                namespace, run_id, after_id=after_id, stage_number=number, limit=size
            )

        lines = await self._awaited(run, wait, read)
        ids = [stage.id for stage in definition.stages]
        shown = [line for line in lines if _grave_enough(line, request.level_min)]
        return messages.ListRunLogsResponse(
            entries=[log_message(line, ids[line.stage_number - 1]) for line in shown],
            next_page_token=page_token(binding, lines[-1].id) if len(lines) == size else "",
            last_log_id=lines[-1].id if lines else 0,
        )

    async def _awaited(
        self, run: RunRow, wait: timedelta, read: Callable[[], Awaitable[Sequence[LogLine]]]
    ) -> Sequence[LogLine]:
        """Reads lines; where there are none, until there are, or the run has ended, or the wait is over."""
        until = time.monotonic() + wait.total_seconds()
        with self._hub.watch(run.id) as watch:
            lines, state = await read(), run.state
            while not lines and (left := until - time.monotonic()) > 0 and not self._shutdown.begun:
                await self._shutdown.first(watch.changed(), min(LOOK_INTERVAL, timedelta(seconds=left)))
                was_terminal = state.terminal
                found = await self._queries.list_events(
                    run.namespace, run.id, after_sequence=_NO_EVENTS, limit=1
                )
                lines, state = await read(), found[1] if found else RunState.CANCELLED
                if state.terminal and not was_terminal:
                    break
        return lines


def _wait_of(request: messages.ListRunLogsRequest) -> timedelta:
    wait = request.wait.ToTimedelta()
    if not timedelta(0) <= wait <= WAIT_MAX:
        seconds = round(wait.total_seconds())
        raise out_of_range("wait", f"0 to {WAIT_MAX.total_seconds():g} s", seconds)
    return wait


def _after_of(request: messages.ListRunLogsRequest) -> int:
    if request.after_log_id < 0:
        raise out_of_range("after_log_id", "0 or more", request.after_log_id)
    return request.after_log_id


def _grave_enough(line: LogLine, level_min: int) -> bool:
    return log_level(line.level) >= level_min


def stage_not_found(workflow_name: str, version: int, stage_id: str, known: list[str]) -> Refusal:
    """The refusal of a stage that the workflow version does not have."""
    message = f"Workflow {workflow_name!r} version {version} has no stage {stage_id[:128]!r}."
    facts = {
        "workflow_name": workflow_name,
        "workflow_version": str(version),
        "stage_id": stage_id[:128],
        "valid_stage_ids": ",".join(known[:STAGE_IDS_TOLD_MAX]),
    }
    return Refusal("STAGE_NOT_FOUND", message, facts)
