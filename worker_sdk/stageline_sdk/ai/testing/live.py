"""Requests that are answered at once: texts, streams, embeddings. Batches answer their items by the same."""

import itertools
import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stageline_sdk.ai.testing.answers import Answer, answer, counted
from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.bill import Bill, Charge
from stageline_sdk.ai.testing.http import Broken, Response, Streamed
from stageline_sdk.ai.testing.replies import Failure, Reply, Tokens
from stageline_sdk.ai.testing.script import Script
from stageline_sdk.ai.testing.wire.anthropic import AnthropicMessages
from stageline_sdk.ai.testing.wire.gemini import GeminiGenerate
from stageline_sdk.ai.testing.wire.openai_chat import OpenAIChat
from stageline_sdk.ai.testing.wire.openai_responses import OpenAIResponses
from stageline_sdk.ai.testing.wire.parts import Dialect

CHAT = OpenAIChat()
OPENROUTER = OpenAIChat("openrouter")
RESPONSES = OpenAIResponses()
MESSAGES = AnthropicMessages()
GENERATE = GeminiGenerate()

_ID_PREFIXES = {
    "chat": "chatcmpl",
    "responses": "resp",
    "messages": "msg",
    "generate": "gen",
    "embeddings": "emb",
}


class Ids:
    """Ids that are never given twice, by this provider or another that runs later."""

    def __init__(self) -> None:
        self._run = uuid.uuid4().hex[:8]
        self._counter = itertools.count(1)
        self._lock = threading.Lock()

    def new(self, prefix: str) -> str:
        """Return the next id, such as `resp_1a2b3c4d_000001`."""
        with self._lock:
            return f"{prefix}_{self._run}_{next(self._counter):06d}"


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered and charged."""

    reply: Reply
    answer: Answer
    charge: Charge


class Live:
    """Answers one request after what the script says, and charges it."""

    def __init__(self, script: Script, bill: Bill, ids: Ids) -> None:
        """Answer by a script, on a bill."""
        self._script = script
        self._bill = bill
        self._ids = ids

    def work(self, asked: Asked) -> Answered | Failure:
        """Do what a request asks. What was begun is charged, whoever is there to hear the answer."""
        reply = self._script.next_reply(asked)
        if isinstance(reply, Failure):
            return reply
        request_id = self._ids.new(_ID_PREFIXES[asked.endpoint])
        done = answer(asked, reply, request_id=request_id, created_seconds=int(time.time()))
        charge = self._bill.charge(asked, done.tokens, request_id=request_id)
        return Answered(reply, done, charge)

    def talk(
        self, dialect: Dialect, body: Mapping[str, Any], model: str = "", *, is_stream: bool | None = None
    ) -> Response | Streamed | Broken:
        """Answer a request in its dialect; the model and whether it streams, where the body does not tell them."""
        asked = dialect.read(body, model)
        if is_stream is not None:
            asked = replace(asked, is_stream=is_stream)
        done = self.work(asked)
        if isinstance(done, Failure):
            return refused(dialect, done)
        headers = _id_headers(done.answer.id)
        if done.reply.is_held:
            self._script.hold()
        if done.reply.is_lost:
            return Broken()
        if asked.is_stream:
            events = dialect.stream(asked, done.answer, done.charge)
            return Streamed(events, done.reply.held_after_chunks, done.reply.cut_after_chunks, headers)
        return Response(dialect.write(asked, done.answer, done.charge), headers=headers)

    def embed(
        self, asked: Asked, dialect: Dialect, write: Callable[[Asked, Tokens], dict[str, Any]]
    ) -> Response | Broken:
        """Answer a request for embeddings, which has no output to charge."""
        reply = self._script.next_reply(asked)
        if isinstance(reply, Failure):
            return refused(dialect, reply)
        request_id = self._ids.new(_ID_PREFIXES[asked.endpoint])
        tokens = reply.tokens or replace(counted(asked, ""), output=0)
        self._bill.charge(asked, tokens, request_id=request_id)
        if reply.is_held:
            self._script.hold()
        return Broken() if reply.is_lost else Response(write(asked, tokens), headers=_id_headers(request_id))


def refused(dialect: Dialect, failure: Failure) -> Response:
    """Return a failure as a response."""
    headers = {}
    if failure.retry_after is not None:
        seconds = failure.retry_after.total_seconds()
        headers = {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(math.ceil(seconds * 1000))}
    return Response(dialect.error(failure), failure.status, headers)


def _id_headers(request_id: str) -> dict[str, str]:
    return {"x-request-id": request_id, "request-id": request_id}
