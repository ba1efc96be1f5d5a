"""WorkflowService: the registry of workflows."""

from typing import Any

import grpc

from stageline.v1 import workflow_service_pb2 as messages
from stageline.v1 import workflow_service_pb2_grpc
from stageline_engine.definitions import check_definition, digest
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_server.auth.grants import current_grant
from stageline_server.dispatch.ports import Ports
from stageline_server.errors import Refusal, RefusedError, answering, invalid_field
from stageline_server.mapping.definitions import DefinitionReader, workflow_message
from stageline_server.mapping.fields import (
    namespace_of,
    optional_name,
    page_size_of,
    required_name,
    version_of,
)
from stageline_server.mapping.page_tokens import page_token, position_of

Context = grpc.aio.ServicerContext[Any, Any]


class WorkflowService(workflow_service_pb2_grpc.WorkflowServiceServicer):
    """Serves the registry."""

    def __init__(self, ports: Ports) -> None:
        """Takes the adapters to read from and write to."""
        self._registry = ports.registry
        self._clock = ports.clock

    @answering
    async def RegisterWorkflow(
        self, request: messages.RegisterWorkflowRequest, context: Context
    ) -> messages.RegisterWorkflowResponse:
        """Registers a definition, or finds the version that has it."""
        namespace = namespace_of(request.namespace)
        if not request.HasField("definition"):
            raise invalid_field("definition", "is required")
        reader = DefinitionReader()
        current_grant().check_workflow(namespace, request.definition.name)
        definition = reader.read(request.definition)
        rejection = check_definition(definition, reader.faults)
        if rejection is not None:
            raise RefusedError(rejection)
        now = self._clock.now()
        workflow = await self._registry.register(namespace, definition, digest(definition), now)
        created = workflow.created_at == now
        return messages.RegisterWorkflowResponse(workflow=workflow_message(workflow), created=created)

    @answering
    async def GetWorkflow(
        self, request: messages.GetWorkflowRequest, context: Context
    ) -> messages.GetWorkflowResponse:
        """Returns one version."""
        namespace = namespace_of(request.namespace)
        name = required_name(request.workflow_name, "workflow_name")
        version = version_of(request.workflow_version)
        workflow = await self._registry.get(namespace, name, version)
        if workflow is None:
            raise RefusedError(await self._not_found(namespace, name, version))
        return messages.GetWorkflowResponse(workflow=workflow_message(workflow))

    @answering
    async def ListWorkflows(
        self, request: messages.ListWorkflowsRequest, context: Context
    ) -> messages.ListWorkflowsResponse:
        """Lists the latest version of each workflow, or every version of one."""
        namespace, size = namespace_of(request.namespace), page_size_of(request.page_size)
        name = optional_name(request.workflow_name, "workflow_name")
        binding = ("ListWorkflows", namespace, name)
        if name:
            below = position_of(request.page_token, binding, int)
            found = await self._versions(namespace, name, below, size)
            more = bool(found) and found[-1].version > 1
        else:
            after = position_of(request.page_token, binding, str)
            found = list(await self._registry.list(namespace, after_name=after or "", limit=size))
            more = len(found) == size
        last = (found[-1].version if name else found[-1].definition.name) if found else ""
        return messages.ListWorkflowsResponse(
            workflows=[workflow_message(workflow, outline=True) for workflow in found],
            next_page_token=page_token(binding, last) if more else "",
        )

    async def _versions(
        self, namespace: str, name: str, below: int | None, size: int
    ) -> list[RegisteredWorkflow]:
        """Versions of one workflow, the newest first: they are numbered without gaps, and the registry keeps them."""
        newest = await self._registry.get(namespace, name)
        top = 0 if newest is None else newest.version if below is None else min(newest.version, below - 1)
        wanted = range(top, max(top - size, 0), -1)
        found = [await self._registry.get(namespace, name, version) for version in wanted]
        return [workflow for workflow in found if workflow is not None]

    async def _not_found(self, namespace: str, name: str, version: int) -> Refusal:
        latest = await self._registry.get(namespace, name) if version else None
        if latest is None:
            facts = {"namespace": namespace, "workflow_name": name}
            message = f"There is no workflow {name!r} in namespace {namespace!r}. Start a worker that has it, or register it."
            return Refusal("WORKFLOW_NOT_FOUND", message, facts)
        facts = {
            "workflow_name": name,
            "workflow_version": str(version),
            "latest_version": str(latest.version),
        }
        message = f"Workflow {name!r} has no version {version}; the latest is {latest.version}."
        return Refusal("WORKFLOW_VERSION_NOT_FOUND", message, facts)
