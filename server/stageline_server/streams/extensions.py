"""ExtendLeases: renews leases without a stream, and tells why one that is not live is to be stopped."""

from datetime import timedelta
from uuid import UUID

from stageline.v1 import error_pb2, worker_pb2, worker_service_pb2
from stageline_engine import limits
from stageline_engine.commands import ExtendLeases, LeaseName
from stageline_engine.ports import RunDetails
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.mapping.fields import namespace_of, out_of_range
from stageline_server.streams.items import duration
from stageline_server.streams.one_shot import check_request_id
from stageline_server.streams.tokens import TOKEN_BYTES_MAX, LeaseToken, decode_token


async def extend_leases(
    plane: ControlPlane, request: worker_service_pb2.ExtendLeasesRequest
) -> worker_service_pb2.ExtendLeasesResponse:
    """Renews leases, and answers each by itself.

    Raises:
        RefusedError: There are none, or too many. INVALID_FIELD.
    """
    namespace = namespace_of(request.namespace)
    check_request_id(request.request_id)
    if not 1 <= len(request.lease_tokens) <= limits.LEASES_PER_CALL_MAX:
        allowed = f"1 to {limits.LEASES_PER_CALL_MAX} tokens"
        raise out_of_range("lease_tokens", allowed, len(request.lease_tokens))
    tokens = [decode_token(raw) for raw in request.lease_tokens]
    names = {LeaseName(token.run_id, token.stage_number, token.secret) for token in tokens if token}
    lasts = plane.settings.lease_duration
    extended = (await plane.kernel.dispatch(ExtendLeases(namespace, tuple(names), lasts))).lease_tokens
    others = _Others(plane, namespace)
    response = worker_service_pb2.ExtendLeasesResponse()
    for raw, token in zip(request.lease_tokens, tokens, strict=True):
        if token is None:
            response.extensions.append(_malformed(raw))
        elif token.secret in extended:
            response.extensions.append(_lasting(raw, lasts))
        else:
            response.extensions.append(await others.answer(raw, token))
    return response


class _Others:
    """Leases that were not extended: why. Each run is read once."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._namespace = namespace
        self._runs: dict[UUID, RunDetails | None] = {}

    async def answer(self, raw: bytes, token: LeaseToken) -> worker_service_pb2.LeaseExtension:
        queries = self._plane.ports.queries
        if await queries.lease_is_live(self._namespace, token.run_id, token.stage_number, token.secret):
            return _lasting(raw, self._plane.settings.session_timeout)  # its session's stream keeps it
        if token.run_id not in self._runs:
            self._runs[token.run_id] = await queries.get_run(
                self._namespace, token.run_id, with_outputs=False
            )
        found = self._runs[token.run_id]
        answer = worker_service_pb2.LeaseExtension(lease_token=raw)
        if not _was_reported(found, token):
            ended = found is not None and found.run.state.terminal
            reason = worker_pb2.STOP_REASON_RUN_ENDED if ended else worker_pb2.STOP_REASON_LEASE_LOST
            answer.directive.CopyFrom(
                worker_pb2.Directive(lease_token=raw, action=worker_pb2.DIRECTIVE_ACTION_STOP, reason=reason)
            )
        return answer


def _was_reported(found: RunDetails | None, token: LeaseToken) -> bool:
    stages = found.stages if found is not None else ()
    return any(each.stage.recorded_token == token.secret for each in stages)


def _lasting(raw: bytes, lasts: timedelta) -> worker_service_pb2.LeaseExtension:
    return worker_service_pb2.LeaseExtension(lease_token=raw, lease_duration=duration(lasts))


def _malformed(raw: bytes) -> worker_service_pb2.LeaseExtension:
    detail = error_pb2.ErrorDetail(
        reason=error_pb2.ERROR_REASON_INVALID_FIELD,
        message="The lease token is malformed.",
        metadata={"field": "lease_tokens"},
    )
    return worker_service_pb2.LeaseExtension(lease_token=raw[:TOKEN_BYTES_MAX], error=detail)
