"""A fake provider: a server on the loopback that speaks the protocols of OpenAI, Anthropic, Gemini and OpenRouter."""

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from stageline_sdk.ai.testing.asked import Asked, Provider
from stageline_sdk.ai.testing.batches.anthropic import AnthropicBatches
from stageline_sdk.ai.testing.batches.gemini import GeminiBatches
from stageline_sdk.ai.testing.batches.openai import OpenAIBatches
from stageline_sdk.ai.testing.bill import Bill
from stageline_sdk.ai.testing.files import Files, StoredFile
from stageline_sdk.ai.testing.http import HOST, Broken, HttpServer, Request, Response, Streamed
from stageline_sdk.ai.testing.jobs import Job, Jobs
from stageline_sdk.ai.testing.live import Ids, Live
from stageline_sdk.ai.testing.replies import BatchPlan, Failure, Reply
from stageline_sdk.ai.testing.routes import BASES, Route, answered, live_routes
from stageline_sdk.ai.testing.script import WAIT_WITHIN, Answering, Script

API_KEY = "fake-key"


class FakeProvider:
    """Answers model calls as the providers' servers do, after a script, and keeps a bill. Serves from `start` to `stop`.

        with FakeProvider() as provider:
            provider.answer("Paris", Failure.rate_limited(), Reply(value={"city": "Rome"}))
            ...
            assert ledger_total == provider.bill.total_usd

    Whatever is not scripted is made up: a sentence, or a value that fits the schema asked for. Each method may be called from
    any thread.

    Attributes:
        bill: What was charged.
    """

    def __init__(
        self,
        answering: Answering | None = None,
        *,
        port: int = 0,
        prices: Mapping[str, Any] | None = None,
        batch_plan: BatchPlan | None = None,
    ) -> None:
        """Prepare a provider.

        Args:
            answering: Says what to answer where nothing is scripted; called from any thread. Default: it is made up.
            port: Where to listen on 127.0.0.1. Default: a free one.
            prices: A `genai_prices.types.ModelPrice` for each model that `genai-prices` does not know, by the model's id.
            batch_plan: What becomes of batches that nothing else was said of. Default: they end at the first look.
        """
        self.bill = Bill(prices)
        self._script = Script(answering)
        self._port = port
        self._server: HttpServer | None = None
        self._thread: threading.Thread | None = None
        self._ids = Ids()
        live = Live(self._script, self.bill, self._ids)
        self._jobs = Jobs(self._script, live, batch_plan or BatchPlan())
        self._files = Files()
        self._routes: list[Route] = [
            *live_routes(live),
            *OpenAIBatches(self._jobs, self._files, self._ids).routes(),
            *AnthropicBatches(self._jobs, self._ids).routes(),
            *GeminiBatches(self._jobs, self._files, self._ids).routes(),
        ]

    def start(self) -> Self:
        """Begin to serve, and return this.

        Raises:
            OSError: The port is taken.
        """
        self._server = HttpServer(self._port, self._handle, self._script.hold)
        self._port = self._server.server_port
        # The default interval of looking for a stop, half a second, would be the length of many a test.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="fake-provider", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving; what is held is let go. Does nothing if it does not serve."""
        self._script.close()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens; 0 before the start if none was given."""
        return self._port

    def base_url(self, provider: Provider) -> str:
        """Return the base URL to give to a provider's client."""
        return f"http://{HOST}:{self._port}{BASES[provider]}"

    def environment(self) -> dict[str, str]:
        """Return the variables by which the providers' own clients, in whatever process, find this server and a key for it."""
        return {
            "OPENAI_BASE_URL": self.base_url("openai"),
            "OPENAI_API_KEY": API_KEY,
            "ANTHROPIC_BASE_URL": self.base_url("anthropic"),
            "ANTHROPIC_API_KEY": API_KEY,
            "GOOGLE_GEMINI_BASE_URL": self.base_url("google"),
            "GOOGLE_API_KEY": API_KEY,
            "OPENROUTER_BASE_URL": self.base_url("openrouter"),
            "OPENROUTER_API_KEY": API_KEY,
        }

    @property
    def asked(self) -> list[Asked]:
        """What was asked so far, refused requests included."""
        return self._script.asked

    def answer(self, *replies: Reply | Failure | str, when: Callable[[Asked], bool] | None = None) -> None:
        """Say what to answer to the next requests, one each, in this order. A text is a reply of that text.

        Args:
            replies: The answers.
            when: Only to requests that this says yes to; the others pass by.
        """
        self._script.plan(*replies, when=when)

    def plan_batches(self, *plans: BatchPlan) -> None:
        """Say what becomes of the next batches, one each, in this order."""
        for plan in plans:
            self._script.plan_batch(plan)

    @property
    def batches(self) -> list[Job]:
        """All batches that were accepted, the oldest first."""
        return self._jobs.all

    @property
    def files(self) -> list[StoredFile]:
        """All files that were uploaded or written, and not removed."""
        return self._files.all()

    def release(self) -> None:
        """Let go all that is held now: requests, streams, batches."""
        self._script.release()

    def wait_for_asked(self, count: int) -> None:
        """Return once there were so many requests in all.

        Raises:
            NotAskedError: There were fewer for 30 seconds.
        """
        self._script.wait_for_asked(count, WAIT_WITHIN)

    def wait_for_held(self, count: int = 1) -> None:
        """Return once so many requests are held at one time.

        Raises:
            NotAskedError: There were fewer for 30 seconds.
        """
        self._script.wait_for_held(count, WAIT_WITHIN)

    def _handle(self, request: Request) -> Response | Streamed | Broken:
        return answered(self._routes, request)
