"""Anthropic's message batches."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from stageline_sdk.ai.testing.http import Broken, Request, Response
from stageline_sdk.ai.testing.jobs import Item, Job, Jobs, page
from stageline_sdk.ai.testing.live import MESSAGES, Answered, Ids, refused
from stageline_sdk.ai.testing.replies import Failure
from stageline_sdk.ai.testing.routes import Route, route

PATH = "/anthropic/v1/messages/batches"
PAGE_SIZE = 20
_CUSTOM_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class AnthropicBatches:
    """The endpoints under `/anthropic/v1/messages/batches`. They keep no metadata: items are known by their ids alone."""

    def __init__(self, jobs: Jobs, ids: Ids) -> None:
        """Serve these batches."""
        self._jobs = jobs
        self._ids = ids

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            route("POST", PATH, self._create),
            route("GET", PATH, self._page),
            route("GET", f"{PATH}/{{batch_id}}", self._status),
            route("GET", f"{PATH}/{{batch_id}}/results", lambda _, batch_id: self._results(batch_id)),
            route("POST", f"{PATH}/{{batch_id}}/cancel", self._cancel),
        ]

    def _create(self, request: Request) -> Response | Broken:
        plan = self._jobs.next_plan()
        if plan.refusal is not None:
            return refused(MESSAGES, plan.refusal)
        requests = request.json()["requests"]
        ids = [each["custom_id"] for each in requests]
        if len(set(ids)) < len(ids) or not all(map(_CUSTOM_ID.fullmatch, ids)):
            raise ValueError("each custom_id must be given once, of 1 to 64 letters, digits, _ and -")
        job = self._jobs.create(
            self._ids.new("msgbatch"),
            {each["custom_id"]: MESSAGES.read(each["params"]) for each in requests},
            plan,
        )
        return Broken() if plan.is_reply_lost else Response(_body(job, request))

    def _page(self, request: Request) -> Response:
        mine = [job for job in self._jobs.all if job.provider == "anthropic"]
        size = int(request.query.get("limit", PAGE_SIZE))
        found, has_more = page(mine, after=request.query.get("after_id", ""), size=size)
        ends = {"first_id": found[0].id, "last_id": found[-1].id} if found else {}
        return Response({"data": [_body(job, request) for job in found], "has_more": has_more, **ends})

    def _status(self, request: Request, batch_id: str) -> Response:
        job = self._jobs.poll(batch_id)
        return _missing(batch_id) if job is None else Response(_body(job, request))

    def _cancel(self, request: Request, batch_id: str) -> Response:
        job = self._jobs.cancel(batch_id)
        return _missing(batch_id) if job is None else Response(_body(job, request))

    def _results(self, batch_id: str) -> Response:
        job = self._jobs.get(batch_id)
        if job is None or not job.has_ended:
            return _missing(batch_id)
        lines = [{"custom_id": item.custom_id, "result": _result(job, item)} for item in job.items]
        return Response("\n".join(json.dumps(line) for line in lines).encode() + b"\n")


def _result(job: Job, item: Item) -> dict[str, Any]:
    if isinstance(item.outcome, Answered):
        message = MESSAGES.write(item.asked, item.outcome.answer, item.outcome.charge)
        return {"type": "succeeded", "message": message}
    if isinstance(item.outcome, Failure):
        return {"type": "errored", "error": MESSAGES.error(item.outcome)}
    if job.state == "failed":
        return {"type": "errored", "error": MESSAGES.error(Failure(message="the batch was told to fail"))}
    return {"type": "expired" if job.state == "expired" else "canceled"}


def _body(job: Job, request: Request) -> dict[str, Any]:
    created = datetime.fromtimestamp(job.created_seconds, UTC)
    kinds = [_result(job, item)["type"] for item in job.items] if job.has_ended else []
    counts = {kind: kinds.count(kind) for kind in ("succeeded", "errored", "expired", "canceled")}
    status = {"cancelling": "canceling", "in_progress": "in_progress"}.get(job.state, "ended")
    ended = job.ended_seconds
    return {
        "id": job.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": {"processing": 0 if job.has_ended else len(job.items), **counts},
        "created_at": created.isoformat(),
        "expires_at": (created + timedelta(days=1)).isoformat(),
        "ended_at": None if ended is None else datetime.fromtimestamp(ended, UTC).isoformat(),
        "archived_at": None,
        "cancel_initiated_at": created.isoformat() if status == "canceling" else None,
        "results_url": f"{request.base_url}{PATH}/{job.id}/results" if job.has_ended else None,
    }


def _missing(batch_id: str) -> Response:
    return refused(MESSAGES, Failure(status=404, message=f"there is no ended batch {batch_id!r}"))
