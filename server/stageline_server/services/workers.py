"""The sessions of a namespace, a page at a time."""

import asyncio
import time
from datetime import timedelta

from stageline.v1 import admin_service_pb2 as messages
from stageline.v1 import session_pb2
from stageline_engine.model.session import SessionRow
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.mapping.fields import namespace_of, page_size_of, timestamp_of
from stageline_server.mapping.page_tokens import page_token, position_of

SESSIONS_MAX = 10_000
"""Sessions that are looked at: they are sorted by name here. With more live ones, the oldest are left out."""


class WorkerReader:
    """Answers ListWorkers."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane, which knows more of the sessions whose streams are here."""
        self._plane = plane
        self._sessions = plane.ports.sessions

    async def page(self, request: messages.ListWorkersRequest) -> messages.ListWorkersResponse:
        """Returns one page, by name and session id.

        Raises:
            RefusedError: A field breaks its rule.
        """
        namespace, size = namespace_of(request.namespace), page_size_of(request.page_size)
        ended = request.include_ended
        binding = ("ListWorkers", namespace, *(["ended"] if ended else []))
        after = position_of(request.page_token, binding, str)
        rows = await self._sessions.list(namespace, include_ended=ended, limit=SESSIONS_MAX)
        waiting = sorted((row for row in rows if after is None or _position(row) > after), key=_position)
        shown = waiting[:size]
        return messages.ListWorkersResponse(
            workers=await asyncio.gather(*(self._info(row) for row in shown)),
            next_page_token=page_token(binding, _position(shown[-1])) if len(waiting) > size else "",
        )

    async def _info(self, row: SessionRow) -> messages.WorkerInfo:
        name, version, runtime = [*row.sdk.split(" ", 2), "", "", ""][:3]
        held = [] if row.ended_at else await self._sessions.held_leases(row.id)
        message = messages.WorkerInfo(
            session_id=str(row.id),
            identity=session_pb2.WorkerIdentity(
                name=row.worker_name, sdk_name=name, sdk_version=version, runtime=runtime
            ),
            stages=[
                session_pb2.WorkerStages(
                    workflow_name=each.workflow_name,
                    workflow_version=each.workflow_version,
                    stage_ids=each.stage_ids,
                )
                for each in row.stages
            ],
            slots=row.slots,
            held_jobs=len(held),
            labels=dict(row.labels),
            connect_time=timestamp_of(row.connected_at),
            server_id=row.server_id,
            disconnect_reason=_reason(row.disconnect_reason),
            disconnect_time=timestamp_of(row.disconnected_at),
            end_time=timestamp_of(row.ended_at),
            end_reason=_reason(row.end_reason),
        )
        local = self._plane.sessions.get(row.id)
        if local is not None:
            silence = timedelta(seconds=time.monotonic() - local.last_heard)
            message.draining = local.draining
            message.last_seen_time.FromDatetime(self._plane.ports.clock.now() - silence)
        return message


def _reason(name: str) -> "session_pb2.DisconnectReason.ValueType":
    """The reason as it was noted; UNSPECIFIED where none was, or one that this server does not know."""
    known = f"DISCONNECT_REASON_{name}"
    if known not in session_pb2.DisconnectReason.keys():  # noqa: SIM118 - an enum's wrapper is no mapping
        return session_pb2.DISCONNECT_REASON_UNSPECIFIED
    return session_pb2.DisconnectReason.Value(known)


def _position(row: SessionRow) -> str:
    return f"{row.worker_name}\n{row.id}"
