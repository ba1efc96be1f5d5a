"""Batches of the Gemini API: submitted with their key as display name, by which they are found again."""

import io
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import httpx2
from google.genai import Client, errors
from google.genai.types import CreateBatchJobConfigDict, HttpOptionsDict, UploadFileConfigDict
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.batch import Batch, BatchResult, EncodedBatchRequest
from pydantic_ai.models.google import GoogleModel
from pydantic_core import to_json

from stageline_sdk.ai._backend.batches.wire import FindableBatches, WholeBatchError
from stageline_sdk.ai.batches.errors import LookUpUnfinishedError
from stageline_sdk.ai.batches.items import FailureReason

LOOKED_THROUGH_MAX = 20_000
_PAGE_SIZE = 100


class Batches(FindableBatches):
    """Batches of a model of the Gemini API."""

    @property
    def _client(self) -> Client:
        assert isinstance(self.model, GoogleModel)
        return self.model.client

    async def create(self, requests: Sequence[EncodedBatchRequest], key: str) -> Batch:
        """Upload the requests and create their job. pydantic-ai would give every job the same name."""
        lines = b"\n".join(map(_line, requests))
        file = await self._client.aio.files.upload(
            file=io.BytesIO(lines),
            config=UploadFileConfigDict(mime_type="application/jsonl", display_name=key),
        )
        assert file.name is not None
        once = HttpOptionsDict(retry_options={"attempts": 1})
        try:
            job = await self._client.aio.batches.create(
                model=self.model.model_name,
                src=file.name,
                config=CreateBatchJobConfigDict(display_name=key, http_options=once),
            )
        except errors.ClientError:  # Else the job may exist, and need its file.
            await self._delete(file.name)
            raise
        assert job.name is not None
        made = self.named(job.name, requests[0].group, len(requests), job.create_time)
        made.provider_details = {"input_file": file.name}
        return made

    async def look_up(
        self, key: str, request_count: int, since: datetime | None, taken: frozenset[str]
    ) -> str | None:
        """Look for the key among the names of the jobs since a moment."""
        seen, is_page_old = 0, True
        async for job in await self._client.aio.batches.list(config={"page_size": _PAGE_SIZE}):
            if job.display_name == key:
                return job.name
            seen += 1
            is_page_old = (
                is_page_old and since is not None and job.create_time is not None and job.create_time < since
            )
            if seen % _PAGE_SIZE == 0:
                if is_page_old:
                    return None
                is_page_old = True
            if seen >= LOOKED_THROUGH_MAX:
                raise LookUpUnfinishedError(
                    f"none of the last {seen:,} batch jobs at Google is named {key}, and there are more",
                    key=key,
                )
        return None

    async def results(self, batch: Batch) -> list[BatchResult]:
        """Read the job's file of results. A job that ran nothing has none, and says why for all of its items."""
        try:
            return await self.model.batch_results(batch)
        except ModelHTTPError as error:
            # pydantic-ai's own class for it is not public, and the error of a call that failed is of the same base.
            if type(error).__name__ != "BatchJobError":
                raise
            reason, message = self.why_unlisted(batch)
            raise WholeBatchError(f"{message}: {error}", reason) from error

    def why_unlisted(self, batch: Batch) -> tuple[FailureReason, str]:
        """Go by how the job ended."""
        match (batch.provider_details or {}).get("state"):
            case "JOB_STATE_EXPIRED":
                return "expired", f"batch {batch.id} expired before the model ran this item"
            case "JOB_STATE_CANCELLED":
                return "cancelled", f"batch {batch.id} was cancelled before the model ran this item"
            case "JOB_STATE_FAILED":
                return "provider", f"Google gave up batch {batch.id} as a whole"
        return super().why_unlisted(batch)

    async def clean_up(self, batch: Batch) -> None:
        """Delete the input file, which Google keeps for two days else. Results stay, to be fetched again."""
        name = (batch.provider_details or {}).get("input_file")
        if name:
            await self._delete(name)

    async def _delete(self, name: str) -> None:
        with suppress(errors.APIError, httpx2.TransportError):  # It is gone already, or goes by itself.
            await self._client.aio.files.delete(name=name)


def _line(request: EncodedBatchRequest) -> bytes:
    return b'{"key":' + to_json(request.custom_id) + b',"request":' + request.body.encode() + b"}"
