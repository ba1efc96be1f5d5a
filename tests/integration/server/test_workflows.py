"""The registry through the wire."""

import grpc

from stageline.v1 import workflow_service_pb2 as messages
from stageline_engine import limits
from tests.integration.server.running import Server, documents, refused


async def test_a_definition_comes_back_with_its_defaults(server: Server) -> None:
    made = await server.register(documents())
    assert (made.created, made.workflow.version, made.workflow.namespace) == (True, 1, "default")
    read = (
        await server.workflows.GetWorkflow(messages.GetWorkflowRequest(workflow_name="documents"))
    ).workflow
    assert read == made.workflow
    assert len(read.digest) == 32
    stage = read.definition.groups[0].stages[0]
    assert (stage.name, stage.retry_policy.max_attempts) == ("extract", 3)


async def test_registering_again_changes_nothing(server: Server) -> None:
    first = await server.register(documents())
    definition = documents()
    definition.input_schema = definition.input_schema.replace(b":", b": ")
    again = await server.register(definition)
    assert (again.created, again.workflow) == (False, first.workflow)
    assert (await server.register(first.workflow.definition)).workflow == first.workflow


async def test_a_change_is_the_next_version_and_runs_stay_on_theirs(server: Server) -> None:
    await server.register(documents())
    run = await server.create()
    changed = await server.register(documents(title="Changed"))
    assert (changed.created, changed.workflow.version) == (True, 2)
    assert (await server.get(run.run_id)).workflow_version == 1
    assert (await server.create()).workflow_version == 2
    assert (await server.create(workflow_version=1)).workflow_version == 1


async def test_what_is_not_there_is_not_found(server: Server) -> None:
    request = messages.GetWorkflowRequest
    told = await refused(server.workflows.GetWorkflow(request(workflow_name="no-such")))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "WORKFLOW_NOT_FOUND")
    await server.register(documents())
    told = await refused(server.workflows.GetWorkflow(request(workflow_name="documents", workflow_version=9)))
    assert (told.reason, told.metadata["latest_version"]) == ("WORKFLOW_VERSION_NOT_FOUND", "1")
    told = await refused(server.workflows.GetWorkflow(request(workflow_name="documents", namespace="other")))
    assert told.reason == "WORKFLOW_NOT_FOUND"


async def names_and_versions(server: Server, workflow_name: str = "") -> list[tuple[str, int]]:
    """All pages of a list, one workflow a page."""
    found, token = [], ""
    while True:
        request = messages.ListWorkflowsRequest(workflow_name=workflow_name, page_size=1, page_token=token)
        page = await server.workflows.ListWorkflows(request)
        found += [(workflow.definition.name, workflow.version) for workflow in page.workflows]
        token = page.next_page_token
        if not token:
            return found


async def test_lists_hold_the_latest_of_each_or_every_version_of_one(server: Server) -> None:
    for number in range(3):
        await server.register(documents(title=str(number)))
    other = documents()
    other.name = "another"
    await server.register(other)
    assert await names_and_versions(server) == [("another", 1), ("documents", 3)]
    versions = await names_and_versions(server, "documents")
    assert versions == [("documents", 3), ("documents", 2), ("documents", 1)]
    assert await names_and_versions(server, "no-such") == []


async def test_lists_leave_schemas_out(server: Server) -> None:
    await server.register(documents())
    (listed,) = (await server.workflows.ListWorkflows(messages.ListWorkflowsRequest())).workflows
    assert listed.definition.input_schema == b""
    assert [len(group.stages) for group in listed.definition.groups] == [1, 2]


async def test_a_token_of_another_list_is_refused(server: Server) -> None:
    await server.register(documents())
    other = documents()
    other.name = "another"
    await server.register(other)
    request = messages.ListWorkflowsRequest
    token = (await server.workflows.ListWorkflows(request(page_size=1))).next_page_token
    told = await refused(server.workflows.ListWorkflows(request(workflow_name="documents", page_token=token)))
    assert told.reason == "PAGE_TOKEN_INVALID"


async def test_a_request_without_a_definition_is_refused(server: Server) -> None:
    told = await refused(server.workflows.RegisterWorkflow(messages.RegisterWorkflowRequest()))
    assert (told.reason, told.fields) == ("INVALID_FIELD", ["definition"])


async def test_the_widest_workflow_is_taken_and_one_wider_is_not(server: Server) -> None:
    definition = documents()
    del definition.groups[1:]
    for number in range(limits.STAGES_PER_GROUP_MAX - 1):
        definition.groups[0].stages.add(id=f"s{number}")
    assert (await server.register(definition)).created
    definition.groups[0].stages.add(id="one-more")
    told = await refused(server.register(definition))
    assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
