"""Reads runs for answers: the row, the payloads, and the stages that the definition knows and no row yet."""

from uuid import UUID

import orjson

from stageline.v1 import run_pb2
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.model.definition import WorkflowDefinition
from stageline_engine.model.run import RunRow, RunState
from stageline_engine.ports import RunDetails
from stageline_server.dispatch.ports import Ports
from stageline_server.errors import RefusedError
from stageline_server.mapping.run_messages import detailed_run_message


class RunReader:
    """Reads runs as messages."""

    def __init__(self, ports: Ports) -> None:
        """Takes the adapters to read from."""
        self._ports = ports

    async def basic(self, namespace: str, run_id: UUID) -> run_pb2.Run:
        """Returns a run in BASIC view.

        Raises:
            RefusedError: There is no such run. RUN_NOT_FOUND.
        """
        return await self._read(namespace, run_id, full=False)

    async def full(self, namespace: str, run_id: UUID) -> run_pb2.Run:
        """Returns a run in FULL view; as ``basic``."""
        return await self._read(namespace, run_id, full=True)

    async def details(self, namespace: str, run_id: UUID, *, with_outputs: bool) -> RunDetails:
        """Returns a run as the engine tells it; as ``basic``."""
        details = await self._ports.queries.get_run(namespace, run_id, with_outputs=with_outputs)
        if details is None:
            raise RefusedError(run_not_found(namespace, str(run_id)))
        return details

    async def definition(self, run: RunRow) -> WorkflowDefinition:
        """Returns the definition of a run's version."""
        workflow = await self._ports.registry.get(run.namespace, run.workflow_name, run.workflow_version)
        assert workflow is not None, "a version that has runs is never removed"
        return workflow.definition

    async def _read(self, namespace: str, run_id: UUID, *, full: bool) -> run_pb2.Run:
        details = await self.details(namespace, run_id, with_outputs=full)
        definition = await self.definition(details.run)
        message = detailed_run_message(details, definition, self._ports.clock.now(), full=full)
        if details.run.state is RunState.CANCELLED:
            message.cancel_reason = await self._cancel_reason(details.run)
        return message

    async def _cancel_reason(self, run: RunRow) -> str:
        """The reason is in the last event: nothing happens to a run after its cancellation."""
        found = await self._ports.queries.list_events(
            run.namespace, run.id, after_sequence=run.event_sequence - 1, limit=1
        )
        events = found[0] if found else ()
        return str(orjson.loads(events[0].payload).get("reason", "")) if events else ""
