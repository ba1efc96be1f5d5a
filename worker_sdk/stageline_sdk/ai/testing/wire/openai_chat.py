"""OpenAI's chat completions, and what OpenRouter adds to them."""

from collections.abc import Mapping
from typing import Any

from stageline_sdk.ai.testing.answers import Answer
from stageline_sdk.ai.testing.asked import Asked, Provider
from stageline_sdk.ai.testing.bill import Charge
from stageline_sdk.ai.testing.replies import Failure, words
from stageline_sdk.ai.testing.wire.parts import EventStream, event, output_tool, texts_of


class OpenAIChat:
    """The dialect of `/v1/chat/completions`."""

    def __init__(self, provider: Provider = "openai") -> None:
        """Speak it as OpenAI does, or as OpenRouter, which tells reasoning and cost."""
        self._provider = provider

    def read(self, body: Mapping[str, Any], model: str = "") -> Asked:
        """Return what was asked."""
        messages = body.get("messages", ())
        by_user = [text for each in messages if each["role"] == "user" for text in texts_of(each["content"])]
        tools = {
            each["function"]["name"]: each["function"].get("parameters", {}) for each in body.get("tools", ())
        }
        choice = body.get("tool_choice")
        named = choice["function"]["name"] if isinstance(choice, Mapping) and "function" in choice else ""
        wanted = output_tool(tools, named=named, is_required=choice == "required")
        form = body.get("response_format") or {}
        return Asked(
            provider=self._provider,
            endpoint="chat",
            model=str(body.get("model", model)),
            prompt=by_user[-1] if by_user else "",
            texts=tuple(text for each in messages for text in texts_of(each.get("content"))),
            schema=tools.get(wanted) if wanted else (form.get("json_schema") or {}).get("schema"),
            output_tool=wanted,
            tools=tools,
            tool_results=sum(each["role"] == "tool" for each in messages),
            is_stream=bool(body.get("stream")),
            body=body,
        )

    def write(self, asked: Asked, answer: Answer, charge: Charge) -> dict[str, Any]:
        """Return the body of a completion."""
        message = {"role": "assistant", "content": answer.text or None, **self._reasoning(answer.reasoning)}
        if answer.calls:
            message["tool_calls"] = _calls(answer)
        return {
            **_frame(asked, answer, "chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": _finish(answer), "logprobs": None}],
            "usage": self._usage(answer, charge),
        }

    def stream(self, asked: Asked, answer: Answer, charge: Charge) -> EventStream:
        """Return the chunks of a completion; the usage comes last, where it was asked for."""
        frame = _frame(asked, answer, "chat.completion.chunk")

        def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
            return event({**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        chunks = [chunk(self._reasoning(piece)) for piece in words(answer.reasoning)]
        chunks += [chunk({"content": piece}) for piece in words(answer.text)]
        calls = [{"index": index, **each} for index, each in enumerate(_calls(answer))]
        chunks += [chunk({"tool_calls": [each]}) for each in calls]
        closing = [chunk({}, _finish(answer))]
        if self._provider == "openrouter" or (asked.body.get("stream_options") or {}).get("include_usage"):
            closing.append(event({**frame, "choices": [], "usage": self._usage(answer, charge)}))
        return EventStream(
            (chunk({"role": "assistant", "content": ""}),), tuple(chunks), (*closing, event("[DONE]"))
        )

    def error(self, failure: Failure) -> dict[str, Any]:
        """Return the body of a failure."""
        return error_body(failure)

    def _reasoning(self, text: str) -> dict[str, Any]:
        name = "reasoning" if self._provider == "openrouter" else "reasoning_content"
        return {name: text} if text else {}

    def _usage(self, answer: Answer, charge: Charge) -> dict[str, Any]:
        tokens = answer.tokens
        usage: dict[str, Any] = {
            "prompt_tokens": tokens.input,
            "completion_tokens": tokens.output,
            "total_tokens": tokens.input + tokens.output,
            "prompt_tokens_details": {"cached_tokens": tokens.cached},
            "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
        }
        if self._provider == "openrouter" and charge.cost_usd is not None:
            usage["cost"] = float(charge.cost_usd)
        return usage


def error_body(failure: Failure) -> dict[str, Any]:
    """Return the body of a failure as all of OpenAI's endpoints write it."""
    kind = "rate_limit_exceeded" if failure.status == 429 else "server_error"
    code = kind if failure.status >= 429 else "invalid_request_error"
    return {"error": {"message": failure.message, "type": code, "param": None, "code": code}}


def _frame(asked: Asked, answer: Answer, kind: str) -> dict[str, Any]:
    frame = {"id": answer.id, "object": kind, "created": answer.created_seconds, "model": asked.model}
    # OpenRouter names the host that it sent the request to; its clients refuse an answer that does not.
    return {**frame, "provider": "Fake"} if asked.provider == "openrouter" else frame


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{answer.id}_{index}",
            "type": "function",
            "function": {"name": name, "arguments": text},
        }
        for index, (name, text) in enumerate(answer.calls)
    ]


def _finish(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"
