"""What each method needs of a caller's token. A method that is not listed is refused to everyone: it was forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass

from stageline_engine.model.access import Scope

_PACKAGE = "stageline.v1"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a method needs.

    Attributes:
        scopes: A token of any of these may call it.
        needs_lease: Whether a worker's token may call it only with the lease under which it works.
        whole_deployment: Whether it is about all namespaces at once, so that a token of one namespace may not call it.
        ends_itself: Whether the method ends its own stream, with what its protocol says last, when the token ends.
    """

    scopes: frozenset[Scope]
    needs_lease: bool = False
    whole_deployment: bool = False
    ends_itself: bool = False


ANYONE = Rule(frozenset(Scope))
CLIENTS = Rule(frozenset({Scope.CLIENT, Scope.ADMIN}))
WORKERS = Rule(frozenset({Scope.WORKER}))
ADMINS = Rule(frozenset({Scope.ADMIN}))
LEASE_HOLDERS = Rule(frozenset(Scope), needs_lease=True)
SESSIONS = Rule(frozenset({Scope.WORKER}), ends_itself=True)
OPERATORS = Rule(frozenset({Scope.ADMIN}), whole_deployment=True)


def _service(name: str, **rules: Rule) -> dict[str, Rule]:
    return {f"/{_PACKAGE}.{name}/{method}": rule for method, rule in rules.items()}


RULES: Mapping[str, Rule] = {
    **_service("WorkflowService", RegisterWorkflow=ANYONE, GetWorkflow=ANYONE, ListWorkflows=ANYONE),
    **_service(
        "RunService",
        CreateRun=CLIENTS,
        BatchCreateRuns=CLIENTS,
        GetRun=CLIENTS,
        ListRuns=CLIENTS,
        CancelRun=CLIENTS,
        RerunRun=CLIENTS,
        WatchRun=CLIENTS,
        ListRunEvents=CLIENTS,
        ListRunLogs=CLIENTS,
        AnnotateRun=CLIENTS,
        ListAnnotations=CLIENTS,
        ResumeStage=CLIENTS,
    ),
    **_service(
        "WorkerService",
        Work=SESSIONS,
        LeaseJobs=WORKERS,
        ReportJobs=WORKERS,
        ExtendLeases=WORKERS,
        FetchOutputs=WORKERS,
    ),
    **_service(
        "ArtifactService",
        PutArtifact=LEASE_HOLDERS,
        GetArtifact=LEASE_HOLDERS,
        ListArtifacts=LEASE_HOLDERS,
        DeleteArtifact=LEASE_HOLDERS,
    ),
    **_service("UsageService", RecordUsage=CLIENTS, ListUsage=CLIENTS, AggregateUsage=CLIENTS),
    **_service("EventService", StreamEvents=CLIENTS, ListDeadLetters=ADMINS, ReplayDeadLetters=ADMINS),
    **_service(
        "AdminService", GetServerInfo=ANYONE, MaintenanceTick=OPERATORS, ListWorkers=CLIENTS, GetStats=CLIENTS
    ),
    **_service("TokenService", CreateToken=ADMINS, ListTokens=ADMINS, RevokeToken=ADMINS),
    # What the server is made of, which is public: any caller that it knows may ask.
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ANYONE,
}

OPEN_METHODS = frozenset(
    {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/List"}
)
"""Whoever looks after processes asks for their health, and has no token."""
