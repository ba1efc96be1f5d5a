"""ReportJobs: the items of jobs whose workers have no stream, each answered by itself, after its commit."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from stageline.v1 import error_pb2, report_pb2, worker_pb2, worker_service_pb2
from stageline_engine import limits
from stageline_engine.commands import (
    Disposition,
    JobReportRecorded,
    ProgressRecorded,
    RunAnnotated,
    SubmissionRecorded,
)
from stageline_engine.rejections import Rejection
from stageline_server.dispatch.batcher import Done
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError, invalid_field
from stageline_server.mapping.fields import namespace_of
from stageline_server.mapping.usage import to_ai_calls
from stageline_server.streams.annotations import to_annotate, to_annotations
from stageline_server.streams.items import (
    BadItemError,
    ForbiddenOutcome,
    Reason,
    acknowledgement_item,
    to_log_lines,
    to_progress,
    to_report,
)
from stageline_server.streams.one_shot import OneShotLeases, check_request_id
from stageline_server.streams.submissions import (
    refused_submission,
    submission_acknowledgement,
    to_submission,
)
from stageline_server.streams.tokens import TOKEN_BYTES_MAX, LeaseToken, decode_token
from stageline_server.streams.usage import refused_call, to_record

Result = TypeVar("Result")

ALLOWED = ("report", "progress", "logs", "usage", "annotation", "submission")
"""Items that name a lease. The others are about a stream."""

COUNTED = (Disposition.RECORDED, Disposition.ALREADY_RECORDED)


class ItemBatch:
    """The items of one call. Reports come last, so that none ends the lease of what was said before it."""

    def __init__(self, plane: ControlPlane, leases: OneShotLeases) -> None:
        """Takes the plane to work with, and what ends sessions that hold nothing any more."""
        self._plane = plane
        self._leases = leases
        self._namespace = ""
        self._response = worker_service_pb2.ReportJobsResponse()
        self._handlers: dict[str, Callable[[Any], Awaitable[None]]] = {
            "progress": self._progress,
            "annotation": self._annotation,
            "logs": self._logs,
            "usage": self._usage,
            "submission": self._submission,
        }

    async def take(
        self, request: worker_service_pb2.ReportJobsRequest
    ) -> worker_service_pb2.ReportJobsResponse:
        """Deals with every item and returns the answers.

        Raises:
            RefusedError: There are no items, too many, or one that is not allowed here.
            StorageUnavailableError: The database is away. Some may be committed: the call may be repeated.
        """
        self._namespace = namespace_of(request.namespace)
        check_request_id(request.request_id)
        _check(request.items)
        said = [(index, item) for index, item in enumerate(request.items) if _kind(item) != "report"]
        await asyncio.gather(*(self._take(index, item) for index, item in said))
        reports = [
            (index, item.report) for index, item in enumerate(request.items) if _kind(item) == "report"
        ]
        recorded = await asyncio.gather(*(self._report(index, report) for index, report in reports))
        for (_, report), result in zip(reports, recorded, strict=True):
            raw = report.lease_token[:TOKEN_BYTES_MAX]
            answer = acknowledgement_item(raw, result).report_acknowledgement
            self._response.report_acknowledgements.append(answer)
        await self._leases.end_idle([one.session_id for one in recorded if one.session_id is not None])
        return self._response

    async def _take(self, index: int, item: worker_pb2.WorkerItem) -> None:
        kind = _kind(item)
        try:
            handler = self._handlers.get(kind)
            if handler is None:
                message = f"This server does not serve items of kind {kind}."
                raise BadItemError(Reason.ERROR_REASON_METHOD_NOT_SERVED, message, {"method": kind})
            await handler(getattr(item, kind))
        except BadItemError as bad:
            self._refuse(index, getattr(item, kind).lease_token, bad.detail)

    def _refuse(self, index: int, raw: bytes, detail: error_pb2.ErrorDetail) -> None:
        error = worker_pb2.ItemError(item_index=index, lease_token=raw[:TOKEN_BYTES_MAX], error=detail)
        self._response.errors.append(error)

    async def _report(self, index: int, report: report_pb2.Report) -> JobReportRecorded:
        token = decode_token(report.lease_token)
        if token is None:
            return JobReportRecorded(Disposition.SUPERSEDED)
        said, faults = to_annotations(report.annotations)
        for fault in faults:
            self._refuse(index, report.lease_token, fault)
        calls, faults = to_ai_calls(report.usage, self._plane.settings.ai_contents)
        for fault in faults:
            self._refuse(index, report.lease_token, fault)
        command = to_report(self._namespace, token, report, said, calls)
        result: JobReportRecorded = await committed(lambda done: self._plane.report(command, done))
        if isinstance(command.outcome, ForbiddenOutcome) and result.disposition is Disposition.RECORDED:
            result = replace(result, note=command.outcome.error.message)
        if said and result.disposition in COUNTED:
            self._annotated(one.id for one in said)
        self._booked(result.booked)
        return result

    async def _usage(self, item: worker_pb2.UsageItem) -> None:
        command = to_record(self._namespace, item, self._plane.settings.ai_contents)
        result = await self._plane.record_ai_call(command)
        if isinstance(result, Rejection):
            raise refused_call(result, item.record.usage_id)
        self._booked([command.call.id])

    def _booked(self, ids: Iterable[UUID]) -> None:
        self._response.record_acknowledgement.usage_ids.extend(str(id_) for id_ in ids)

    async def _submission(self, item: worker_pb2.SubmissionDeclaration) -> None:
        command = to_submission(self._namespace, item)
        result: SubmissionRecorded | Rejection = await committed(
            lambda done: self._plane.submissions.submit(command, done)
        )
        if isinstance(result, Rejection):
            raise refused_submission(result)
        self._response.submission_acknowledgements.append(submission_acknowledgement(item))

    async def _annotation(self, item: worker_pb2.AnnotationItem) -> None:
        command = to_annotate(self._namespace, _token(item.lease_token), item.annotation)
        result: RunAnnotated | Rejection = await committed(lambda done: self._plane.annotate(command, done))
        if isinstance(result, Rejection):
            raise _superseded()
        self._annotated(one.id for one in command.annotations)

    def _annotated(self, ids: Any) -> None:
        self._response.record_acknowledgement.annotation_ids.extend(ids)

    async def _progress(self, item: worker_pb2.Progress) -> None:
        command = to_progress(self._namespace, _token(item.lease_token), item.progress)
        result: ProgressRecorded = await committed(lambda done: self._plane.progress(command, done))
        if not result.recorded:
            raise _superseded()

    async def _logs(self, batch: worker_pb2.LogBatch) -> None:
        token = _token(batch.lease_token)
        generation, attempt = await self._execution_of(token)
        self._plane.logs.add(to_log_lines(token, generation, attempt, batch, self._plane.ports.clock.now()))

    async def _execution_of(self, token: LeaseToken) -> tuple[int, int]:
        """The generation and the attempt that a live lease is for."""
        queries, run_id, number = self._plane.ports.queries, token.run_id, token.stage_number
        if await queries.lease_is_live(self._namespace, run_id, number, token.secret):
            found = await queries.get_run(self._namespace, run_id, with_outputs=False)
            for each in found.stages if found else ():
                if each.stage.number == number:
                    return each.stage.generation, each.stage.attempt
        raise _superseded()


async def committed(submit: Callable[[Done[Result]], None]) -> Result:
    """Has a command committed with the next batch and waits for its result.

    Raises:
        StorageUnavailableError: The database is away, or the server stops.
    """
    future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def done(result: Result | BaseException) -> None:
        if future.done():
            return
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)

    submit(done)
    return await future


def _check(items: Sequence[worker_pb2.WorkerItem]) -> None:
    if not items:
        raise invalid_field("items", "is empty")
    if len(items) > limits.LEASES_PER_CALL_MAX:
        limit, actual = str(limits.LEASES_PER_CALL_MAX), str(len(items))
        facts = {"limit_name": "items", "limit": limit, "actual": actual}
        raise RefusedError(
            Refusal("LIMIT_EXCEEDED", f"A call has at most {limit} items, not {actual}.", facts)
        )
    for index, item in enumerate(items):
        if _kind(item) not in ALLOWED:
            what = _kind(item) or "unknown"
            raise invalid_field(f"items.{index}", f"is of kind {what}; only items of a lease are allowed")


def _kind(item: worker_pb2.WorkerItem) -> str:
    return item.WhichOneof("item") or ""


def _token(raw: bytes) -> LeaseToken:
    token = decode_token(raw)
    if token is None:
        message = "The lease token is malformed."
        raise BadItemError(Reason.ERROR_REASON_INVALID_FIELD, message, {"field": "lease_token"})
    return token


def _superseded() -> BadItemError:
    message = "The lease is not the live one of its job any more."
    return BadItemError(Reason.ERROR_REASON_LEASE_SUPERSEDED, message)
