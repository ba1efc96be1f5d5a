"""Reads runs for answers: the row, the payloads, and the stages that the definition knows and no row yet."""

from collections.abc import Collection
from uuid import UUID

import orjson

from stageline.v1 import payload_pb2, run_pb2
from stageline_engine.decide.waiting import shortage
from stageline_engine.handlers.runs import run_not_found
from stageline_engine.limits import PAYLOAD_BYTES_MAX
from stageline_engine.model.definition import RegisteredWorkflow, WorkflowDefinition
from stageline_engine.model.run import RunRow, RunState
from stageline_engine.model.stored_payload import StoredPayload, is_reference, reference_in
from stageline_engine.ports import RunDetails
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import RefusedError, accepted
from stageline_server.mapping.payloads import PayloadRoom, joined_output, small_payload_of
from stageline_server.mapping.run_messages import (
    closing_outputs,
    detailed_run_message,
    fill_shortages,
    reached_definition,
    ready_stage_ids,
)


class RunReader:
    """Reads runs as messages."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane, whose adapters are read from."""
        self._ports = plane.ports
        self._payloads = plane.payloads

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

    async def definition(self, details: RunDetails) -> WorkflowDefinition:
        """Returns the definition of a run's version; where it cannot be had, one of the stages that the run has reached."""
        return _definition(details, await self._workflow(details.run))

    async def _workflow(self, run: RunRow) -> RegisteredWorkflow | None:
        return await self._ports.registry.get(run.namespace, run.workflow_name, run.workflow_version)

    async def config(self, payload: payload_pb2.Payload, namespace: str) -> bytes:
        """Returns the text of a run's config, which may be stored but is kept inline.

        Raises:
            RefusedError: It has no body, is not stored, or is too large.
        """
        given = small_payload_of(payload, "config")
        if not isinstance(given, StoredPayload):
            return given
        return accepted(await self._payloads.fetch(namespace, given, "config"))

    async def _read(self, namespace: str, run_id: UUID, *, full: bool) -> run_pb2.Run:
        details = await self.details(namespace, run_id, with_outputs=full)
        workflow, now = await self._workflow(details.run), self._ports.clock.now()
        definition = _definition(details, workflow)
        room = PayloadRoom() if full else None
        message = detailed_run_message(details, definition, now, room)
        if room is not None:
            if workflow is not None:
                await self._tell_shortages(message, workflow, ready_stage_ids(details, now))
            output = await self._output(details, definition)
            if output is not None:
                message.output.CopyFrom(room.payload(output))
            for text in room.beyond:
                await self._payloads.put(namespace, text)
        if details.run.state is RunState.CANCELLED:
            message.cancel_reason = await self._cancel_reason(details.run)
        return message

    async def _tell_shortages(
        self, message: run_pb2.Run, workflow: RegisteredWorkflow, ready: Collection[str]
    ) -> None:
        """Says of stages that could start now why they do not: from the sessions in the store, whatever server they are on."""
        if ready:
            kinds = await self._ports.sessions.kinds(workflow.namespace)
            fill_shortages(message, {stage_id: shortage(workflow, stage_id, kinds) for stage_id in ready})

    async def _output(self, details: RunDetails, definition: WorkflowDefinition) -> str | bytes | None:
        """A completed run's output; None where it has none, or where its parts together are over the limit."""
        outputs = closing_outputs(details, definition)
        if outputs is None or len(outputs) == 1:
            return None if outputs is None else next(iter(outputs.values()))
        if not any(map(is_reference, outputs.values())):
            return joined_output(outputs)
        sizes = [
            found.size_bytes if (found := reference_in(text)) else len(text) for text in outputs.values()
        ]
        if sum(sizes) > PAYLOAD_BYTES_MAX:
            return None
        namespace = details.run.namespace
        whole = {id_: await self._payloads.text(namespace, text) for id_, text in outputs.items()}
        return joined_output(whole)

    async def _cancel_reason(self, run: RunRow) -> str:
        """The reason is in the last event: nothing happens to a run after its cancellation."""
        found = await self._ports.queries.list_events(
            run.namespace, run.id, after_sequence=run.event_sequence - 1, limit=1
        )
        events = found[0] if found else ()
        return str(orjson.loads(events[0].payload).get("reason", "")) if events else ""


def _definition(details: RunDetails, workflow: RegisteredWorkflow | None) -> WorkflowDefinition:
    return reached_definition(details) if workflow is None else workflow.definition
