"""OpenAI's files and batches of `/v1/responses` and `/v1/chat/completions`."""

import json
from collections.abc import Iterator
from typing import Any

from stageline_sdk.ai.testing.files import Files, StoredFile, form_fields
from stageline_sdk.ai.testing.http import Broken, Request, Response
from stageline_sdk.ai.testing.jobs import Item, Job, Jobs, page
from stageline_sdk.ai.testing.live import CHAT, RESPONSES, Answered, Ids, refused
from stageline_sdk.ai.testing.replies import Failure
from stageline_sdk.ai.testing.routes import Route, route
from stageline_sdk.ai.testing.wire.parts import Dialect

ENDPOINTS: dict[str, Dialect] = {"/v1/responses": RESPONSES, "/v1/chat/completions": CHAT}
DAY_SECONDS = 24 * 3600
PAGE_SIZE = 20
_UNRUN = {
    "expired": "This request could not be executed before the completion window expired.",
    "cancelled": "This request was cancelled.",
}


class OpenAIBatches:
    """The endpoints under `/openai/v1/files` and `/openai/v1/batches`."""

    def __init__(self, jobs: Jobs, files: Files, ids: Ids) -> None:
        """Serve these batches and files."""
        self._jobs = jobs
        self._files = files
        self._ids = ids

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        files, batches = "/openai/v1/files", "/openai/v1/batches"
        return [
            route("POST", files, self._upload),
            route("GET", files, lambda _: _list([_file_body(each) for each in self._files.all()])),
            route("GET", f"{files}/{{file_id}}", lambda _, file_id: self._file(file_id)),
            route("GET", f"{files}/{{file_id}}/content", lambda _, file_id: self._content(file_id)),
            route("DELETE", f"{files}/{{file_id}}", lambda _, file_id: self._remove(file_id)),
            route("POST", batches, self._create),
            route("GET", batches, self._page),
            route("GET", f"{batches}/{{batch_id}}", lambda _, batch_id: self._status(batch_id)),
            route("POST", f"{batches}/{{batch_id}}/cancel", lambda _, batch_id: self._cancel(batch_id)),
        ]

    def _upload(self, request: Request) -> Response:
        fields = form_fields(request.headers.get("content-type", ""), request.body)
        name, content = fields["file"]
        purpose = fields["purpose"][1].decode()
        return Response(
            _file_body(self._files.put(self._ids.new("file"), content, name=name, purpose=purpose))
        )

    def _file(self, file_id: str) -> Response:
        try:
            return Response(_file_body(self._files.get(file_id)))
        except KeyError:
            return _missing("file", file_id)

    def _content(self, file_id: str) -> Response:
        try:
            return Response(self._files.get(file_id).content)
        except KeyError:
            return _missing("file", file_id)

    def _remove(self, file_id: str) -> Response:
        if not self._files.remove(file_id):
            return _missing("file", file_id)
        return Response({"id": file_id, "object": "file", "deleted": True})

    def _create(self, request: Request) -> Response | Broken:
        plan = self._jobs.next_plan()
        if plan.refusal is not None:
            return refused(RESPONSES, plan.refusal)
        body = request.json()
        dialect = ENDPOINTS[body["endpoint"]]
        lines = [json.loads(line) for line in self._files.get(body["input_file_id"]).content.splitlines()]
        job = self._jobs.create(
            self._ids.new("batch"),
            {line["custom_id"]: dialect.read(line["body"]) for line in lines},
            plan,
            endpoint=body["endpoint"],
            input_file_id=body["input_file_id"],
            metadata=body.get("metadata"),
        )
        return Broken() if plan.is_reply_lost else Response(_body(job))

    def _page(self, request: Request) -> Response:
        mine = [job for job in self._jobs.all if job.provider == "openai"]
        size = int(request.query.get("limit", PAGE_SIZE))
        found, has_more = page(mine, after=request.query.get("after", ""), size=size)
        return _list([_body(job) for job in found], has_more=has_more)

    def _status(self, batch_id: str) -> Response:
        job = self._jobs.poll(batch_id)
        if job is None:
            return _missing("batch", batch_id)
        if job.has_ended and "is_written" not in job.details:
            self._write_files(job)
        return Response(_body(job))

    def _cancel(self, batch_id: str) -> Response:
        job = self._jobs.cancel(batch_id)
        return _missing("batch", batch_id) if job is None else Response(_body(job))

    def _write_files(self, job: Job) -> None:
        """Write the output of items that were answered, and apart from it what became of the others."""
        job.details["is_written"] = True
        answered = [item for item in job.items if isinstance(item.outcome, Answered)]
        for name, lines in (
            ("output_file_id", [_line(job, each) for each in answered]),
            ("error_file_id", list(_error_lines(job))),
        ):
            if lines:
                content = "\n".join(json.dumps(line) for line in lines).encode()
                job.details[name] = self._files.put(
                    self._ids.new("file"), content, name=f"{job.id}.jsonl", purpose="batch_output"
                ).id


def _line(job: Job, item: Item) -> dict[str, Any]:
    response: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    dialect = ENDPOINTS[job.details["endpoint"]]
    if isinstance(item.outcome, Answered):
        body = dialect.write(item.asked, item.outcome.answer, item.outcome.charge)
        response = {"status_code": 200, "request_id": item.outcome.answer.id, "body": body}
    elif isinstance(item.outcome, Failure):
        status = item.outcome.status
        response = {"status_code": status, "request_id": "", "body": dialect.error(item.outcome)}
    else:
        error = {"code": f"batch_{job.state}", "message": _UNRUN[job.state]}
    return {
        "id": f"batch_req_{item.custom_id}",
        "custom_id": item.custom_id,
        "response": response,
        "error": error,
    }


def _error_lines(job: Job) -> Iterator[dict[str, Any]]:
    """Yield the lines of the items that failed, and of those that a batch left undone; one that failed whole has none."""
    for item in job.items:
        if isinstance(item.outcome, Failure) or (item.outcome is None and job.state in _UNRUN):
            yield _line(job, item)


def _body(job: Job) -> dict[str, Any]:
    errors = None
    if job.state == "failed":
        wrong = {
            "code": "invalid_request",
            "line": None,
            "message": "the batch was told to fail",
            "param": None,
        }
        errors = {"object": "list", "data": [wrong]}
    times = {f"{state}_at": None for state in ("completed", "expired", "failed", "cancelled")}
    if job.has_ended:
        times[f"{job.state}_at"] = job.ended_seconds  # type: ignore[assignment]
    return {
        "id": job.id,
        "object": "batch",
        "endpoint": job.details["endpoint"],
        "input_file_id": job.details["input_file_id"],
        "completion_window": "24h",
        "status": job.state,
        "errors": errors,
        "output_file_id": job.details.get("output_file_id"),
        "error_file_id": job.details.get("error_file_id"),
        "created_at": job.created_seconds,
        "in_progress_at": job.created_seconds,
        "expires_at": job.created_seconds + DAY_SECONDS,
        **times,
        "request_counts": {
            "total": len(job.items),
            "completed": job.count(lambda item: isinstance(item.outcome, Answered)),
            "failed": job.count(lambda item: isinstance(item.outcome, Failure)),
        },
        "metadata": job.details["metadata"],
    }


def _file_body(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": file.created_seconds,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }


def _list(data: list[dict[str, Any]], *, has_more: bool = False) -> Response:
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return Response({"object": "list", "data": data, "has_more": has_more, **ends})


def _missing(what: str, its_id: str) -> Response:
    return refused(RESPONSES, Failure(status=404, message=f"there is no {what} {its_id!r}"))
