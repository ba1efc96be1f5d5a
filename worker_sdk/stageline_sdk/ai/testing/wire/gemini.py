"""Gemini's generateContent, live and as the items of its batches."""

from collections.abc import Mapping
from typing import Any

from stageline_sdk.ai.testing.answers import Answer
from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.bill import Charge
from stageline_sdk.ai.testing.replies import Failure, words
from stageline_sdk.ai.testing.wire.parts import EventStream, arguments, event, output_tool, texts_of

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 503: 14, 504: 4}
"""How the results of a batch name the same."""


class GeminiGenerate:
    """The dialect of `models/NAME:generateContent` and `:streamGenerateContent`."""

    def read(self, body: Mapping[str, Any], model: str = "") -> Asked:
        """Return what was asked; whether it is a stream the address says."""
        contents = body.get("contents", ())
        parts = [part for each in contents for part in each.get("parts", ())]
        by_user = [
            text
            for each in contents
            if each.get("role", "user") == "user"
            for text in texts_of(each.get("parts"))
        ]
        declared = [
            each for tool in body.get("tools") or () for each in tool.get("functionDeclarations") or ()
        ]
        tools = {
            each["name"]: _either(each, "parametersJsonSchema", "parameters_json_schema", "parameters") or {}
            for each in declared
        }
        choice = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
        named = choice.get("allowedFunctionNames") or []
        wanted = output_tool(named or tools, is_required=choice.get("mode") == "ANY")
        form = body.get("generationConfig") or {}
        return Asked(
            provider="google",
            endpoint="generate",
            model=model,
            prompt=by_user[-1] if by_user else "",
            texts=(
                *texts_of((body.get("systemInstruction") or {}).get("parts")),
                *texts_of(parts),
            ),
            schema=tools.get(wanted)
            if wanted
            else _either(form, "responseJsonSchema", "response_json_schema", "responseSchema"),
            output_tool=wanted,
            tools=tools,
            tool_results=sum("functionResponse" in part for part in parts),
            body=body,
        )

    def write(self, asked: Asked, answer: Answer, charge: Charge) -> dict[str, Any]:
        """Return the body of an answer."""
        return _response(asked, answer, _parts(answer), is_last=True)

    def stream(self, asked: Asked, answer: Answer, charge: Charge) -> EventStream:
        """Return pieces of the answer; the usage comes with the last."""
        pieces = [{"text": piece, "thought": True} for piece in words(answer.reasoning)]
        pieces += [{"text": piece} for piece in words(answer.text)]
        pieces += _calls(answer)
        chunks = tuple(event(_response(asked, answer, [each], is_last=False)) for each in pieces)
        return EventStream((), chunks, (event(_response(asked, answer, [{"text": ""}], is_last=True)),))

    def error(self, failure: Failure) -> dict[str, Any]:
        """Return the body of a failure."""
        status = STATUSES.get(failure.status, "INTERNAL")
        return {"error": {"code": failure.status, "message": failure.message, "status": status}}


def _either(fields: Mapping[str, Any], *names: str) -> Any:
    """Return the first of these fields that is there: the API takes both ways of writing a name."""
    return next((fields[name] for name in names if fields.get(name)), None)


def _parts(answer: Answer) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if answer.reasoning:
        parts.append({"text": answer.reasoning, "thought": True})
    if answer.text:
        parts.append({"text": answer.text})
    return parts + _calls(answer)


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"functionCall": {"id": f"call_{answer.id}_{index}", "name": name, "args": arguments(text)}}
        for index, (name, text) in enumerate(answer.calls)
    ]


def _response(asked: Asked, answer: Answer, parts: list[dict[str, Any]], *, is_last: bool) -> dict[str, Any]:
    tokens = answer.tokens
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    body: dict[str, Any] = {"candidates": [candidate], "modelVersion": asked.model, "responseId": answer.id}
    if is_last:
        candidate["finishReason"] = "STOP"
        body["usageMetadata"] = {
            "promptTokenCount": tokens.input,
            "cachedContentTokenCount": tokens.cached,
            "candidatesTokenCount": tokens.output - tokens.reasoning,
            "thoughtsTokenCount": tokens.reasoning,
            "totalTokenCount": tokens.input + tokens.output,
        }
    return body
