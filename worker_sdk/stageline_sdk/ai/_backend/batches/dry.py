"""What answers a batch in a dry run: nothing leaves the process, and nothing is booked."""

from decimal import Decimal
from typing import Any

from pydantic_ai.messages import ModelRequest

from stageline_sdk.ai._backend.batches.wire import parameters_of
from stageline_sdk.ai._backend.dry_run import dry_writer
from stageline_sdk.ai.batches.handle import BatchHandle
from stageline_sdk.ai.batches.items import BatchResults, ItemSucceeded
from stageline_sdk.ai.batches.output import OutputType


async def dry_results(handle: BatchHandle, output: OutputType[Any]) -> BatchResults[Any]:
    """Return a made-up result for each item."""
    writer = dry_writer(str if output.is_text else object)
    response = await writer.request([ModelRequest.user_text_prompt("")], None, parameters_of(output))
    said = response.tool_calls[0].args if response.tool_calls else response.text
    return BatchResults(
        tuple(
            ItemSucceeded(id=item_id, output=output.parse(said or ""), cost_usd=Decimal(0))
            for item_id in handle.item_ids
        )
    )
