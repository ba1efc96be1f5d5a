"""OpenAI's responses, live and as the items of its batches."""

from collections.abc import Mapping
from typing import Any

from stageline_sdk.ai.testing.answers import Answer
from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.bill import Charge
from stageline_sdk.ai.testing.replies import Failure, words
from stageline_sdk.ai.testing.wire.openai_chat import error_body
from stageline_sdk.ai.testing.wire.parts import EventStream, event, output_tool, texts_of, whole


class OpenAIResponses:
    """The dialect of `/v1/responses`."""

    def read(self, body: Mapping[str, Any], model: str = "") -> Asked:
        """Return what was asked."""
        given = body.get("input", "")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        by_user = [text for each in items if each.get("role") == "user" for text in texts_of(each["content"])]
        tools = {
            each["name"]: each.get("parameters", {})
            for each in body.get("tools", ())
            if each.get("type") == "function"
        }
        choice = body.get("tool_choice")
        named = str(choice.get("name", "")) if isinstance(choice, Mapping) else ""
        wanted = output_tool(tools, named=named, is_required=choice == "required")
        form = (body.get("text") or {}).get("format") or {}
        return Asked(
            provider="openai",
            endpoint="responses",
            model=str(body.get("model", model)),
            prompt=by_user[-1] if by_user else "",
            texts=(
                *texts_of(body.get("instructions")),
                *(text for each in items for text in texts_of(each.get("content", each.get("output")))),
            ),
            schema=tools.get(wanted) if wanted else form.get("schema"),
            output_tool=wanted,
            tools=tools,
            tool_results=sum(each.get("type") == "function_call_output" for each in items),
            is_stream=bool(body.get("stream")),
            body=body,
        )

    def write(self, asked: Asked, answer: Answer, charge: Charge) -> dict[str, Any]:
        """Return the body of a response."""
        return _response(asked, answer, "completed", _items(answer))

    def stream(self, asked: Asked, answer: Answer, charge: Charge) -> EventStream:
        """Return the events of a response: each item begins, grows and ends."""
        events = _Events()
        begun = _response(asked, answer, "in_progress", [])
        opening = (
            events.make("response.created", response=begun),
            events.make("response.in_progress", response=begun),
        )
        chunks = [
            each for index, item in enumerate(_items(answer)) for each in _item_events(events, index, item)
        ]
        ended = events.make("response.completed", response=self.write(asked, answer, charge))
        return EventStream(opening, tuple(chunks), (ended,))

    def error(self, failure: Failure) -> dict[str, Any]:
        """Return the body of a failure."""
        return error_body(failure)


class _Events:
    """Makes events that are numbered in their order."""

    def __init__(self) -> None:
        self._count = 0

    def make(self, kind: str, **fields: Any) -> bytes:
        self._count += 1
        return event({"type": kind, "sequence_number": self._count - 1, **fields}, kind)


def _item_events(events: _Events, index: int, item: dict[str, Any]) -> list[bytes]:
    """Return how an item begins, grows and ends. The events must be made in their order: they are numbered."""
    at = {"output_index": index, "item_id": item["id"]}
    empty = {name: value for name, value in item.items() if name not in {"content", "arguments", "summary"}}
    if item["type"] == "message":
        added = events.make("response.output_item.added", output_index=index, item={**empty, "content": []})
        text, part = item["content"][0]["text"], {**at, "content_index": 0}
        begun = added + events.make(
            "response.content_part.added", **part, part={**item["content"][0], "text": ""}
        )
        grown = [
            events.make("response.output_text.delta", **part, delta=each, logprobs=[]) for each in words(text)
        ]
        ended = events.make("response.output_text.done", **part, text=text, logprobs=[])
        ended += events.make("response.content_part.done", **part, part=item["content"][0])
    elif item["type"] == "function_call":
        text, calling = item["arguments"], {**empty, "arguments": ""}
        begun = events.make("response.output_item.added", output_index=index, item=calling)
        grown = [events.make("response.function_call_arguments.delta", **at, delta=text)]
        ended = events.make("response.function_call_arguments.done", **at, arguments=text, name=item["name"])
    else:
        text, part = item["summary"][0]["text"], {**at, "summary_index": 0}
        added = events.make("response.output_item.added", output_index=index, item={**empty, "summary": []})
        begun = added + events.make(
            "response.reasoning_summary_part.added", **part, part={"type": "summary_text", "text": ""}
        )
        grown = [
            events.make("response.reasoning_summary_text.delta", **part, delta=each) for each in words(text)
        ]
        ended = events.make("response.reasoning_summary_text.done", **part, text=text)
    return whole(
        begun, grown, ended + events.make("response.output_item.done", output_index=index, item=item)
    )


def _items(answer: Answer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        items.append({"id": f"rs_{answer.id}", "type": "reasoning", "summary": summary})
    if answer.text:
        content = [{"type": "output_text", "text": answer.text, "annotations": []}]
        items.append(
            {
                "id": f"msg_{answer.id}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        )
    for index, (name, text) in enumerate(answer.calls):
        identity = {"id": f"fc_{answer.id}_{index}", "call_id": f"call_{answer.id}_{index}"}
        items.append(
            {**identity, "type": "function_call", "status": "completed", "name": name, "arguments": text}
        )
    return items


def _response(asked: Asked, answer: Answer, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    tokens = answer.tokens
    usage = {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }
    return {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created_seconds,
        "status": status,
        "model": asked.model,
        "output": output,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": None,
        "top_p": None,
        "usage": usage if status == "completed" else None,
    }
