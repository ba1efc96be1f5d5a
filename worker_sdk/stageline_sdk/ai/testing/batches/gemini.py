"""Gemini's files, and batches of `generateContent` from a file or in line."""

import json
from datetime import UTC, datetime
from typing import Any

from stageline_sdk.ai.testing.files import Files, StoredFile
from stageline_sdk.ai.testing.http import Broken, Request, Response
from stageline_sdk.ai.testing.jobs import Item, Job, Jobs, page
from stageline_sdk.ai.testing.live import GENERATE, Answered, Ids, refused
from stageline_sdk.ai.testing.replies import Failure
from stageline_sdk.ai.testing.routes import Route, route
from stageline_sdk.ai.testing.wire.gemini import RPC_CODES

BASE = "/gemini/v1beta"
PAGE_SIZE = 50
_STATES = {
    "in_progress": "BATCH_STATE_PENDING",
    "cancelling": "BATCH_STATE_RUNNING",
    "completed": "BATCH_STATE_SUCCEEDED",
    "expired": "BATCH_STATE_EXPIRED",
    "failed": "BATCH_STATE_FAILED",
    "cancelled": "BATCH_STATE_CANCELLED",
}


class GeminiBatches:
    """The endpoints for files and batches under `/gemini`."""

    def __init__(self, jobs: Jobs, files: Files, ids: Ids) -> None:
        """Serve these batches and files."""
        self._jobs = jobs
        self._files = files
        self._ids = ids

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        batch, file = f"{BASE}/batches/{{batch_id}}", f"{BASE}/files/{{file_id}}"
        return [
            route("POST", "/gemini/upload/v1beta/files", self._upload),
            route("GET", f"{BASE}/files", self._list_files),
            route("GET", file, lambda _, file_id: self._file(file_id)),
            route("DELETE", file, lambda _, file_id: self._remove(file_id)),
            route("GET", f"{file}:download", lambda _, file_id: self._download(file_id)),
            route(
                "GET",
                "/gemini/download/v1beta/files/{file_id}:download",
                lambda _, file_id: self._download(file_id),
            ),
            route("POST", f"{BASE}/models/{{model}}:batchGenerateContent", self._create),
            route("GET", f"{BASE}/batches", self._page),
            route("GET", batch, lambda _, batch_id: self._status(batch_id)),
            route("POST", f"{batch}:cancel", lambda _, batch_id: self._cancel(batch_id)),
        ]

    def _upload(self, request: Request) -> Response:
        """Begin an upload and tell where its bytes go, or take the bytes, in one piece or in several."""
        file_id = request.query.get("upload_id")
        if file_id is None:
            name = str((request.json().get("file") or {}).get("displayName", ""))
            file_id = self._files.put(self._ids.new("file"), b"", name=name).id
            url = f"{request.base_url}{request.path}?upload_id={file_id}"
            return Response({}, headers={"x-goog-upload-url": url, "x-goog-upload-status": "active"})
        begun = self._files.get(file_id)
        file = self._files.put(file_id, begun.content + request.body, name=begun.name)
        is_last = "finalize" in request.headers.get("x-goog-upload-command", "finalize")
        headers = {"x-goog-upload-status": "final" if is_last else "active"}
        return Response({"file": _file_body(file)}, headers=headers)

    def _list_files(self, request: Request) -> Response:
        return Response({"files": [_file_body(each) for each in self._files.all()]})

    def _file(self, file_id: str) -> Response:
        try:
            return Response(_file_body(self._files.get(file_id)))
        except KeyError:
            return _missing("file", file_id)

    def _download(self, file_id: str) -> Response:
        try:
            return Response(self._files.get(file_id).content)
        except KeyError:
            return _missing("file", file_id)

    def _remove(self, file_id: str) -> Response:
        return Response({}) if self._files.remove(file_id) else _missing("file", file_id)

    def _create(self, request: Request, model: str) -> Response | Broken:
        plan = self._jobs.next_plan()
        if plan.refusal is not None:
            return refused(GENERATE, plan.refusal)
        batch = request.json()["batch"]
        given = batch["inputConfig"]
        if "fileName" in given:
            content = self._files.get(given["fileName"].removeprefix("files/")).content
            lines = [json.loads(line) for line in content.splitlines()]
            asked = {line["key"]: GENERATE.read(line["request"], model) for line in lines}
        else:
            inlined = given["requests"]["requests"]
            asked = {
                str((each.get("metadata") or {}).get("key", index)): GENERATE.read(each["request"], model)
                for index, each in enumerate(inlined)
            }
        job = self._jobs.create(
            self._ids.new("batch"),
            asked,
            plan,
            model=model,
            display_name=batch.get("displayName", ""),
            is_in_line="fileName" not in given,
        )
        return Broken() if plan.is_reply_lost else Response(_operation(job))

    def _page(self, request: Request) -> Response:
        mine = [job for job in self._jobs.all if job.provider == "google"]
        size = int(request.query.get("pageSize", PAGE_SIZE))
        found, has_more = page(mine, after=request.query.get("pageToken", ""), size=size)
        more = {"nextPageToken": found[-1].id} if has_more else {}
        return Response({"operations": [_operation(job) for job in found], **more})

    def _status(self, batch_id: str) -> Response:
        job = self._jobs.poll(batch_id)
        if job is None:
            return _missing("batch", batch_id)
        has_results = any(item.outcome is not None for item in job.items)
        if has_results and not job.details["is_in_line"] and "responses_file" not in job.details:
            lines = [_result(item) for item in job.items if item.outcome is not None]
            content = "\n".join(json.dumps(line) for line in lines).encode()
            job.details["responses_file"] = self._files.put(self._ids.new("file"), content).id
        return Response(_operation(job))

    def _cancel(self, batch_id: str) -> Response:
        return _missing("batch", batch_id) if self._jobs.cancel(batch_id) is None else Response({})


def _result(item: Item) -> dict[str, Any]:
    if isinstance(item.outcome, Answered):
        body = GENERATE.write(item.asked, item.outcome.answer, item.outcome.charge)
        return {"key": item.custom_id, "response": body}
    assert item.outcome is not None
    code = RPC_CODES.get(item.outcome.status, 13)
    return {"key": item.custom_id, "error": {"code": code, "message": item.outcome.message}}


def _operation(job: Job) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "name": f"batches/{job.id}",
        "model": f"models/{job.details['model']}",
        "displayName": job.details["display_name"],
        "state": _STATES[job.state],
        "createTime": datetime.fromtimestamp(job.created_seconds, UTC).isoformat(),
        "batchStats": {"requestCount": str(len(job.items))},
    }
    if job.ended_seconds is not None:
        metadata["endTime"] = datetime.fromtimestamp(job.ended_seconds, UTC).isoformat()
    output: dict[str, Any] = {}
    if "responses_file" in job.details:
        output = {"responsesFile": f"files/{job.details['responses_file']}"}
    elif job.details["is_in_line"] and job.has_ended:
        answers = [_in_line(item) for item in job.items if item.outcome is not None]
        output = {"inlinedResponses": {"inlinedResponses": answers}}
    if output:
        metadata["output"] = output
    return {"name": f"batches/{job.id}", "metadata": metadata, "done": job.has_ended}


def _in_line(item: Item) -> dict[str, Any]:
    result = _result(item)
    return {"metadata": {"key": result.pop("key")}, **result}


def _file_body(file: StoredFile) -> dict[str, Any]:
    return {
        "name": f"files/{file.id}",
        "displayName": file.name,
        "sizeBytes": str(len(file.content)),
        "state": "ACTIVE",
        "createTime": datetime.fromtimestamp(file.created_seconds, UTC).isoformat(),
        "uri": f"files/{file.id}",
    }


def _missing(what: str, its_id: str) -> Response:
    return refused(GENERATE, Failure(status=404, message=f"there is no {what} {its_id!r}"))
