"""The handshake: what a worker says of itself becomes a session, new or resumed."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from stageline.v1 import error_pb2, session_pb2, worker_pb2
from stageline_engine import limits
from stageline_engine.commands import LeaseReference
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.model.labels import label_violations
from stageline_engine.model.session import NO_SERVER, SessionRow, SessionStages, served_routes
from stageline_engine.ports import HeldLease
from stageline_server.auth.grants import current_grant
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import RefusedError, error_detail
from stageline_server.mapping.failures import cut
from stageline_server.mapping.fields import namespace_of
from stageline_server.streams.items import BadItemError, Reason, some_ids
from stageline_server.streams.tokens import TOKEN_BYTES_MAX, decode_token

PROTOCOL_VERSION = 1
"""The version of the stream protocol that this server speaks."""

STAGES_ENTRIES_MAX = 1000
"""Entries of Hello, each of which is looked up: a worker has a few."""

_NAME = re.compile(limits.NAME_PATTERN)


class HelloRefusedError(Exception):
    """The session cannot begin. Carries what ends the stream."""

    def __init__(
        self, reason: "session_pb2.DisconnectReason.ValueType", detail: error_pb2.ErrorDetail
    ) -> None:
        """Takes the reason of the closed list and what the worker is told."""
        super().__init__(detail.message)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that has begun.

    Attributes:
        session_id: Its id.
        namespace: Its tenant.
        resumed: Whether it goes on from an earlier stream.
        route_ids: What it can run.
        errors: Entries of Hello that were refused.
        kept: Leases that go on.
        unlisted: Leases that the session owns and the worker does not know of: to be handed on.
        verdicts: One for each lease that the worker named.
        held: What the session owns, by token.
    """

    session_id: UUID
    namespace: str
    resumed: bool
    route_ids: tuple[int, ...]
    errors: tuple[worker_pb2.ItemError, ...]
    kept: tuple[LeaseReference, ...] = ()
    unlisted: tuple[LeaseReference, ...] = ()
    verdicts: tuple[session_pb2.HeldLeaseVerdict, ...] = ()
    held: Mapping[UUID, HeldLease] = field(default_factory=dict)


async def open_session(plane: ControlPlane, hello: session_pb2.Hello) -> Opened:
    """Checks Hello, finds its routes, and opens or resumes the session.

    Raises:
        HelloRefusedError: Version, slots or stages are such that no session can begin.
    """
    opened = await _open(plane, hello, plane.server_id, plane.settings.session_timeout)
    return await _with_leases(plane, hello, opened)


async def open_session_once(plane: ControlPlane, hello: session_pb2.Hello, lasts: timedelta) -> Opened:
    """As ``open_session``, for a worker without a stream; leases that Hello names are passed over.

    Args:
        plane: The plane.
        hello: What the worker says of itself.
        lasts: How long the session lives unless it is extended.

    Raises:
        HelloRefusedError: As for ``open_session``.
    """
    return await _open(plane, hello, NO_SERVER, lasts)


async def _open(plane: ControlPlane, hello: session_pb2.Hello, server_id: str, lasts: timedelta) -> Opened:
    _check(hello)
    namespace = _namespace(hello)
    served = await _served(plane, namespace, hello)
    session_id, resumed = await _begin(plane, namespace, hello, served.stages, server_id, lasts)
    return Opened(session_id, namespace, resumed, served.route_ids, served.errors)


async def _with_leases(plane: ControlPlane, hello: session_pb2.Hello, opened: Opened) -> Opened:
    """Adds what becomes of the leases of a stream's session."""
    session_id, resumed = opened.session_id, opened.resumed
    held = await plane.ports.sessions.held_leases(session_id) if resumed else ()
    owned = {token: LeaseReference(session_id, token, run_id, number) for run_id, number, token, *_ in held}
    named = {
        token.secret for lease in hello.held_leases if (token := decode_token(lease.lease_token)) is not None
    }
    return replace(
        opened,
        kept=tuple(lease for token, lease in owned.items() if token in named),
        unlisted=tuple(lease for token, lease in owned.items() if token not in named),
        verdicts=tuple(_verdict(lease, owned) for lease in hello.held_leases),
        held={lease.lease_token: lease for lease in held},
    )


def _check(hello: session_pb2.Hello) -> None:
    if hello.protocol_version != PROTOCOL_VERSION:
        version = str(PROTOCOL_VERSION)
        message = f"The worker speaks protocol version {hello.protocol_version}, this server {version}. Upgrade one side."
        facts = {"protocol_version_min": version, "protocol_version_max": version}
        _refuse(Reason.ERROR_REASON_PROTOCOL_VERSION_UNSUPPORTED, message, facts)
    if not 1 <= hello.slots <= limits.SLOTS_PER_SESSION_MAX:
        message = f"slots must be 1 to {limits.SLOTS_PER_SESSION_MAX}, but is {hello.slots}."
        limit = str(limits.SLOTS_PER_SESSION_MAX)
        facts = {"limit_name": "session_slots_max", "limit": limit, "actual": str(hello.slots)}
        _refuse(Reason.ERROR_REASON_LIMIT_EXCEEDED, message, facts)
    if len(hello.labels) > limits.LABELS_MAX:
        facts = {
            "limit_name": "labels_max",
            "limit": str(limits.LABELS_MAX),
            "actual": str(len(hello.labels)),
        }
        message = f"A worker has at most {limits.LABELS_MAX} labels, but has {len(hello.labels)}."
        _refuse(Reason.ERROR_REASON_LIMIT_EXCEEDED, message, facts)
    for wrong in label_violations(hello.labels):
        message = f"{wrong.field}: {wrong.description}."
        _refuse(Reason.ERROR_REASON_INVALID_FIELD, message, {"field": "labels"})
    if len(hello.stages) > STAGES_ENTRIES_MAX:
        limit, actual = str(STAGES_ENTRIES_MAX), str(len(hello.stages))
        facts = {"limit_name": "hello_stages_max", "limit": limit, "actual": actual}
        message = f"Hello names at most {limit} workflow versions, but has {actual} entries."
        _refuse(Reason.ERROR_REASON_LIMIT_EXCEEDED, message, facts)


def _namespace(hello: session_pb2.Hello) -> str:
    try:
        namespace = namespace_of(hello.namespace)
        current_grant().check_namespace(namespace)
        return namespace
    except RefusedError as refused:
        raise HelloRefusedError(
            session_pb2.DISCONNECT_REASON_HELLO_REFUSED, error_detail(refused.refusal)
        ) from None


def _refuse(reason: "Reason.ValueType", message: str, facts: dict[str, str]) -> None:
    version = reason == Reason.ERROR_REASON_PROTOCOL_VERSION_UNSUPPORTED
    end = (
        session_pb2.DISCONNECT_REASON_PROTOCOL_VERSION
        if version
        else session_pb2.DISCONNECT_REASON_HELLO_REFUSED
    )
    raise HelloRefusedError(end, error_pb2.ErrorDetail(reason=reason, message=message, metadata=facts))


class _Served(NamedTuple):
    """What of Hello's stages can be served.

    Attributes:
        route_ids: The routes of the stages that the worker is offered; those whose labels it lacks are not among them.
        stages: The entries that were accepted.
        errors: Why others were not.
    """

    route_ids: tuple[int, ...]
    stages: tuple[SessionStages, ...]
    errors: tuple[worker_pb2.ItemError, ...]


async def _served(plane: ControlPlane, namespace: str, hello: session_pb2.Hello) -> _Served:
    """Looks up the stages that Hello names; entries that cannot be served become errors, unless none is left."""
    routes: set[int] = set()
    accepted, errors = [], []
    for stages in hello.stages:
        workflow = None
        if _NAME.fullmatch(stages.workflow_name) and stages.workflow_version >= 1:
            workflow = await plane.ports.registry.get(
                namespace, stages.workflow_name, stages.workflow_version
            )
        try:
            current_grant().check_workflow(namespace, stages.workflow_name)
            routes.update(_routes_of(stages, workflow, hello.labels))
            ids = tuple(stages.stage_ids)
            accepted.append(SessionStages(stages.workflow_name, stages.workflow_version, ids))
        except BadItemError as error:
            errors.append(worker_pb2.ItemError(frame_sequence=1, item_index=0, error=error.detail))
        except RefusedError as refused:
            detail = error_detail(refused.refusal)
            errors.append(worker_pb2.ItemError(frame_sequence=1, item_index=0, error=detail))
    if not accepted:
        detail = (
            errors[0].error
            if errors
            else error_pb2.ErrorDetail(
                reason=Reason.ERROR_REASON_WORKFLOW_NOT_FOUND,
                message="Hello names no stage that the worker can run.",
            )
        )
        raise HelloRefusedError(session_pb2.DISCONNECT_REASON_HELLO_REFUSED, detail)
    return _Served(tuple(sorted(routes)), tuple(accepted), tuple(errors))


def _routes_of(
    stages: session_pb2.WorkerStages, workflow: RegisteredWorkflow | None, labels: Mapping[str, str]
) -> tuple[int, ...]:
    name, version = cut(stages.workflow_name, limits.NAME_LENGTH_MAX), stages.workflow_version
    facts = {"workflow_name": name, "workflow_version": str(version)}
    if workflow is None:
        message = f"Workflow {name!r} version {version} is not registered. Register it before Hello names it."
        raise BadItemError(Reason.ERROR_REASON_WORKFLOW_NOT_FOUND, message, facts)
    if stages.workflow_digest and stages.workflow_digest.hex() != workflow.digest:
        message = f"The worker's workflow {name!r} is not version {version}: the digests differ."
        raise BadItemError(Reason.ERROR_REASON_INVALID_FIELD, message, {"field": "workflow_digest"} | facts)
    known = workflow.definition.number_by_id
    for stage_id in stages.stage_ids:
        if stage_id not in known:
            told = cut(stage_id, limits.NAME_LENGTH_MAX)
            message = f"Workflow {name!r} version {version} has no stage {told!r}."
            facts |= {"stage_id": told, "valid_stage_ids": some_ids(known)}
            raise BadItemError(Reason.ERROR_REASON_STAGE_NOT_FOUND, message, facts)
    return served_routes(workflow, labels, stages.stage_ids)


async def _begin(
    plane: ControlPlane,
    namespace: str,
    hello: session_pb2.Hello,
    stages: tuple[SessionStages, ...],
    server_id: str,
    lasts: timedelta,
) -> tuple[UUID, bool]:
    """Resumes the session that Hello names, or opens a new one."""
    now, sessions = plane.ports.clock.now(), plane.ports.sessions
    earlier = _session_id(hello.resume_session_id)
    if earlier and await sessions.resume(earlier, namespace, server_id, now, now + lasts):
        return earlier, True
    session_id = plane.ports.ids.new_id()
    times = (now, now + lasts)
    await sessions.open(_row(session_id, namespace, server_id, hello, stages, times))
    return session_id, False


def _row(
    session_id: UUID,
    namespace: str,
    server_id: str,
    hello: session_pb2.Hello,
    stages: tuple[SessionStages, ...],
    times: tuple[datetime, datetime],
) -> SessionRow:
    """The row of a new session; ``times`` are its begin and its end."""
    identity = hello.identity
    return SessionRow(
        id=session_id,
        namespace=namespace,
        worker_name=cut(identity.name, limits.LABEL_VALUE_LENGTH_MAX),
        server_id=server_id,
        slots=hello.slots,
        sdk=cut(
            f"{identity.sdk_name} {identity.sdk_version} {identity.runtime}".strip(),
            limits.LABEL_VALUE_LENGTH_MAX,
        ),
        connected_at=times[0],
        expires_at=times[1],
        labels=dict(hello.labels),
        stages=stages,
    )


def _session_id(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _verdict(lease: session_pb2.HeldLease, owned: Container[UUID]) -> session_pb2.HeldLeaseVerdict:
    """KEEP what the session owns, and what has a report to send: its acknowledgement will say what became of it."""
    token = decode_token(lease.lease_token)
    live = token is not None and (token.secret in owned or lease.unacknowledged_report)
    verdict = session_pb2.LEASE_VERDICT_KEEP if live else session_pb2.LEASE_VERDICT_DROP
    return session_pb2.HeldLeaseVerdict(lease_token=lease.lease_token[:TOKEN_BYTES_MAX], verdict=verdict)
