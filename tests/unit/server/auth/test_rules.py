"""Every method has a rule, and every request says which namespace it is about."""

import pytest

from stageline.v1 import artifact_service_pb2, run_service_pb2, worker_pb2
from stageline_engine.model.access import ALL_NAMESPACES, AccessToken, Scope
from stageline_engine.testing.conformance.tokens import token
from stageline_server.auth.grants import OPEN, Grant
from stageline_server.auth.requests import check_request, namespaces_of, paths_to
from stageline_server.auth.rules import CLIENTS, LEASE_HOLDERS, OPERATORS, RULES, Rule
from stageline_server.errors import RefusedError
from tests.support.wire_methods import METHODS, WireMethod

NAMED_IN_HELLO = {"/stageline.v1.WorkerService/Work"}
NAMELESS = {"/stageline.v1.AdminService/GetServerInfo"}


def test_every_method_has_a_rule_and_no_rule_is_left_over() -> None:
    ours = {path for path in RULES if path.startswith("/stageline.")}
    assert ours == {method.path for method in METHODS}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.path)
def test_every_request_names_its_namespace(method: WireMethod) -> None:
    paths = paths_to(method.request_type.DESCRIPTOR, "namespace")
    assert bool(paths) is (method.path not in NAMELESS)
    assert "another" in set(namespaces_of(method.request("another"))) or method.path in NAMELESS


def test_only_what_tells_nothing_of_a_tenant_is_for_anyone() -> None:
    anyone = {path.rpartition("/")[2] for path, rule in RULES.items() if rule.scopes == frozenset(Scope)}
    artifacts = {"PutArtifact", "GetArtifact", "ListArtifacts", "DeleteArtifact"}
    assert anyone - artifacts == {
        *("RegisterWorkflow", "GetWorkflow", "ListWorkflows"),
        *("GetServerInfo", "ServerReflectionInfo"),
    }
    assert all(RULES[f"/stageline.v1.ArtifactService/{name}"].needs_lease for name in artifacts)


def bound(namespace: str = "acme", *scopes: Scope, workflow_names: tuple[str, ...] = ()) -> Grant:
    made = token(1, namespace)
    rights = frozenset(scopes or (Scope.CLIENT,))
    return Grant(AccessToken(made.id, namespace, "n", rights, workflow_names, b"", made.created_at))


def refused(request: object, grant: Grant, rule: Rule = CLIENTS) -> str:
    """Which permission is missing; empty where the request may pass."""
    try:
        check_request(request, grant, rule)
    except RefusedError as error:
        return f"{error.refusal.reason} {error.refusal.metadata['permission']}".removeprefix(
            "PERMISSION_DENIED "
        )
    return ""


def test_a_request_may_name_the_tokens_own_namespace_only() -> None:
    run = run_service_pb2.CreateRunRequest
    assert refused(run(namespace="acme"), bound()) == ""
    assert refused(run(namespace="other"), bound()) == "namespace"
    assert refused(run(), bound()) == "namespace"  # empty means default
    assert refused(run(), bound("default")) == ""
    assert refused(run(namespace="other"), bound(ALL_NAMESPACES, Scope.ADMIN)) == ""
    assert refused(run(namespace="other"), OPEN) == ""
    assert refused(object(), bound()) == ""  # bytes that are no message: whoever reads them refuses them


def test_items_of_a_list_are_looked_into() -> None:
    batch, run = run_service_pb2.BatchCreateRunsRequest, run_service_pb2.CreateRunRequest
    assert refused(batch(namespace="acme", requests=[run(), run(namespace="acme")]), bound()) == ""
    assert refused(batch(namespace="acme", requests=[run(), run(namespace="x")]), bound()) == "namespace"


def test_a_worker_needs_a_lease_where_a_client_does_not() -> None:
    header = artifact_service_pb2.PutArtifactHeader
    put = artifact_service_pb2.PutArtifactRequest
    without = put(header=header(namespace="acme"))
    leased = put(header=header(namespace="acme", lease_token=b"t"))
    assert refused(without, bound("acme", Scope.WORKER), LEASE_HOLDERS) == "lease"
    assert refused(leased, bound("acme", Scope.WORKER), LEASE_HOLDERS) == ""
    assert refused(without, bound("acme", Scope.WORKER, Scope.CLIENT), LEASE_HOLDERS) == ""
    assert refused(put(chunk=b"x"), bound("acme", Scope.WORKER), LEASE_HOLDERS) == ""
    assert refused(put(header=header(namespace="x", lease_token=b"t")), bound(), LEASE_HOLDERS) == "namespace"


def test_what_is_about_all_namespaces_is_not_judged_by_one() -> None:
    assert refused(run_service_pb2.GetRunRequest(), bound("acme", Scope.ADMIN), OPERATORS) == ""


def test_a_worker_serves_the_workflows_of_its_token() -> None:
    grant = bound("acme", Scope.WORKER, workflow_names=("a", "b"))
    grant.check_workflow("acme", "b")
    with pytest.raises(RefusedError, match=r"allows to serve a, b, not 'c'"):
        grant.check_workflow("acme", "c")
    bound("acme", Scope.WORKER).check_workflow("acme", "c")
    bound("acme", Scope.CLIENT, workflow_names=("a",)).check_workflow("acme", "c")
    OPEN.check_workflow("acme", "c")


def test_frames_are_looked_into_by_hello() -> None:
    assert list(namespaces_of(worker_pb2.WorkerFrame())) == []
