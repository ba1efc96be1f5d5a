"""Anthropic's messages, live and as the items of its batches."""

import json
from collections.abc import Mapping
from typing import Any

from stageline_sdk.ai.testing.answers import Answer
from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.bill import Charge
from stageline_sdk.ai.testing.replies import Failure, words
from stageline_sdk.ai.testing.wire.parts import EventStream, arguments, event, output_tool, texts_of, whole

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class AnthropicMessages:
    """The dialect of `/v1/messages`."""

    def read(self, body: Mapping[str, Any], model: str = "") -> Asked:
        """Return what was asked."""
        messages = body.get("messages", ())
        by_user = [text for each in messages if each["role"] == "user" for text in texts_of(each["content"])]
        parts = [part for each in messages if isinstance(each["content"], list) for part in each["content"]]
        tools = {each["name"]: each.get("input_schema", {}) for each in body.get("tools", ())}
        choice = body.get("tool_choice") or {}
        wanted = output_tool(tools, named=choice.get("name", ""), is_required=choice.get("type") == "any")
        form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
        return Asked(
            provider="anthropic",
            endpoint="messages",
            model=str(body.get("model", model)),
            prompt=by_user[-1] if by_user else "",
            texts=(
                *texts_of(body.get("system")),
                *(text for each in messages for text in texts_of(each["content"])),
            ),
            schema=tools.get(wanted) if wanted else form.get("schema"),
            output_tool=wanted,
            tools=tools,
            tool_results=sum(part.get("type") == "tool_result" for part in parts),
            is_stream=bool(body.get("stream")),
            body=body,
        )

    def write(self, asked: Asked, answer: Answer, charge: Charge) -> dict[str, Any]:
        """Return the body of a message."""
        return {
            **_frame(asked, answer),
            "content": _blocks(answer),
            "stop_reason": _stop(answer),
            "usage": _usage(answer, answer.tokens.output),
        }

    def stream(self, asked: Asked, answer: Answer, charge: Charge) -> EventStream:
        """Return the events of a message: each block begins, grows and ends; the output's tokens come last."""
        message = {**_frame(asked, answer), "content": [], "usage": _usage(answer, 1)}
        chunks: list[bytes] = []
        for index, block in enumerate(_blocks(answer)):
            chunks += _block_events(index, block)
        delta = {"stop_reason": _stop(answer), "stop_sequence": None}
        closing = (
            _event("message_delta", delta=delta, usage={"output_tokens": answer.tokens.output}),
            _event("message_stop"),
        )
        return EventStream((_event("message_start", message=message),), tuple(chunks), closing)

    def error(self, failure: Failure) -> dict[str, Any]:
        """Return the body of a failure."""
        kind = ERROR_TYPES.get(failure.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": failure.message}}


def _event(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)


def _block_events(index: int, block: dict[str, Any]) -> list[bytes]:
    def delta(kind: str, **fields: Any) -> bytes:
        return _event("content_block_delta", index=index, delta={"type": kind, **fields})

    if block["type"] == "text":
        empty = {**block, "text": ""}
        grown = [delta("text_delta", text=piece) for piece in words(block["text"])]
    elif block["type"] == "thinking":
        empty = {**block, "thinking": "", "signature": ""}
        grown = [delta("thinking_delta", thinking=piece) for piece in words(block["thinking"])]
        grown.append(delta("signature_delta", signature=block["signature"]))
    else:
        empty = {**block, "input": {}}
        grown = [delta("input_json_delta", partial_json=json.dumps(block["input"]))]
    begun = _event("content_block_start", index=index, content_block=empty)
    return whole(begun, grown, _event("content_block_stop", index=index))


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": "c2lnbmVk"})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text, "citations": None})
    for index, (name, text) in enumerate(answer.calls):
        call_id = f"toolu_{answer.id}_{index}"
        blocks.append({"type": "tool_use", "id": call_id, "name": name, "input": arguments(text)})
    return blocks


def _frame(asked: Asked, answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop(answer: Answer) -> str:
    return "tool_use" if answer.calls else "end_turn"


def _usage(answer: Answer, output_tokens: int) -> dict[str, Any]:
    """Return the usage; here the input's tokens do not include the cached ones."""
    return {
        "input_tokens": answer.tokens.input - answer.tokens.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": answer.tokens.cached,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }
