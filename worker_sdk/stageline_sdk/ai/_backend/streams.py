"""Streams of text, from the first piece to their record: one for each, also when it is left half-way."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from pydantic_ai.result import StreamedRunResult

from stageline_sdk.ai._backend.calls import Call
from stageline_sdk.ai._backend.failures import translated
from stageline_sdk.ai.results import TextResult
from stageline_sdk.ai.streams import TextStream
from stageline_sdk.cancellation import CancelSignal


@asynccontextmanager
async def open_stream(call: Call, cancelled: CancelSignal) -> AsyncIterator[TextStream]:
    """Let a model write, piece by piece. Tools are called before the first piece of the answer."""
    agent = await call.agent(str)
    meter, written = call.entry.meter, _Written()

    def result() -> TextResult | None:
        return call.text_result(written.text) if written.has_ended else None

    try:
        async with (
            agent.run_stream(**call.arguments()) as run,
            aclosing(_pieces(run, call, written, cancelled)) as pieces,
        ):
            yield TextStream(pieces, result)
    except BaseException as error:
        said = call.our_error(error)
        is_complete = meter.last is not None and meter.last.state == "complete" and said is error
        call.entry.book(written.text, None if is_complete else said)
        if said is error:
            raise
        raise said from error
    finally:
        written.has_ended = True
        call.entry.book(written.text)


class _Written:
    """What has come so far."""

    def __init__(self) -> None:
        self.text = ""
        self.has_ended = False


async def _pieces(
    run: StreamedRunResult[None, str], call: Call, written: _Written, cancelled: CancelSignal
) -> AsyncGenerator[str, None]:
    try:
        async for piece in run.stream_text(delta=True, debounce_by=None):
            cancelled.raise_if_set()
            written.text += piece
            yield piece
    except Exception as error:
        raise translated(error, call.model.key, steps_max=call.steps_max, text=written.text) from error
    written.has_ended = True
