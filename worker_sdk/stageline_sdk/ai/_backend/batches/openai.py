"""Batches at OpenAI: submitted with their key as metadata, by which they are found again."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from openai import APIError, APIStatusError, AsyncOpenAI
from pydantic_ai.models.batch import Batch, BatchResult, EncodedBatchRequest
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_core import to_json

from stageline_sdk.ai._backend.batches.wire import FindableBatches
from stageline_sdk.ai.batches.errors import LookUpUnfinishedError
from stageline_sdk.ai.batches.items import FailureReason

KEY_FIELD = "stageline_submission"
LOOKED_THROUGH_MAX = 20_000
_PAGE_SIZE = 100
_SERVER_FAULT = 500


class Batches(FindableBatches):
    """Batches of a model of OpenAI's Responses interface."""

    @property
    def _client(self) -> AsyncOpenAI:
        assert isinstance(self.model, OpenAIResponsesModel)
        return self.model.client

    async def create(self, requests: Sequence[EncodedBatchRequest], key: str) -> Batch:
        """Upload the requests and create their batch. pydantic-ai would leave out the metadata."""
        lines = b"\n".join(map(_line, requests))
        file = await self._client.files.create(file=(f"{key}.jsonl", lines), purpose="batch")
        try:
            made = await self._client.with_options(max_retries=0).batches.create(
                input_file_id=file.id,
                endpoint="/v1/responses",
                completion_window="24h",
                metadata={KEY_FIELD: key},
            )
        except APIStatusError as error:
            if error.status_code < _SERVER_FAULT:  # Else the batch may exist, and need its file.
                await self._delete(file.id)
            raise
        created_at = datetime.fromtimestamp(made.created_at, UTC)
        return self.named(made.id, requests[0].group, len(requests), created_at)

    async def look_up(
        self, key: str, request_count: int, since: datetime | None, taken: frozenset[str]
    ) -> str | None:
        """Look for the key in the metadata of the batches since a moment."""
        seen, newest_of_page = 0, 0
        async for each in self._client.batches.list(limit=_PAGE_SIZE):
            if (each.metadata or {}).get(KEY_FIELD) == key:
                return each.id
            seen += 1
            newest_of_page = max(newest_of_page, each.created_at)
            if seen % _PAGE_SIZE == 0:
                if since is not None and newest_of_page < since.timestamp():
                    return None
                newest_of_page = 0
            if seen >= LOOKED_THROUGH_MAX:
                raise LookUpUnfinishedError(
                    f"none of the last {seen:,} batches at OpenAI has the metadata {KEY_FIELD}={key}, and there are more",
                    key=key,
                )
        return None

    async def results(self, batch: Batch) -> list[BatchResult]:
        """Read the output and error files alone: of a batch that did not run all, the input file may be gone already."""
        details = {**(batch.provider_details or {}), "status": "completed"}
        return await self.model.batch_results(_with_details(batch, details))

    def why_unlisted(self, batch: Batch) -> tuple[FailureReason, str]:
        """Go by how the batch ended."""
        details = batch.provider_details or {}
        match details.get("status"):
            case "expired":
                return "expired", f"batch {batch.id} expired before the model ran this item"
            case "cancelled":
                return "cancelled", f"batch {batch.id} was cancelled before the model ran this item"
            case "failed":
                errors = "; ".join(str(each.get("message", each)) for each in details.get("errors", []))
                return (
                    "provider",
                    f"OpenAI refused batch {batch.id} as a whole: {errors or 'no reason was given'}",
                )
        return super().why_unlisted(batch)

    async def clean_up(self, batch: Batch) -> None:
        """Delete the input file, which OpenAI keeps for 30 days else. Output files stay, to be fetched again."""
        file_id = (batch.provider_details or {}).get("input_file_id")
        if file_id:
            await self._delete(file_id)

    async def _delete(self, file_id: str) -> None:
        with suppress(APIError):  # It is gone already, or goes by itself.
            await self._client.files.delete(file_id)


def _line(request: EncodedBatchRequest) -> bytes:
    head = b'{"custom_id":' + to_json(request.custom_id) + b',"method":"POST","url":"/v1/responses","body":'
    return head + request.body.encode() + b"}"


def _with_details(batch: Batch, details: dict[str, object]) -> Batch:
    return Batch(**{**vars(batch), "provider_details": details})
