"""Which address means what."""

import re
from collections.abc import Callable
from typing import Any

from stageline_sdk.ai.testing.http import Broken, Request, Response, Streamed
from stageline_sdk.ai.testing.live import CHAT, GENERATE, MESSAGES, OPENROUTER, RESPONSES, Live, refused
from stageline_sdk.ai.testing.replies import Failure
from stageline_sdk.ai.testing.wire import embeddings
from stageline_sdk.ai.testing.wire.parts import Dialect

Handler = Callable[..., Response | Streamed | Broken]
"""Takes a request and, by name, the parts of its path."""
Route = tuple[str, "re.Pattern[str]", Handler]

BASES = {
    "openai": "/openai/v1",
    "anthropic": "/anthropic",
    "google": "/gemini",
    "openrouter": "/openrouter/api/v1",
}
"""What follows the address of the server in the base URL of each provider."""
_DIALECTS: dict[str, Dialect] = {
    "/openai": RESPONSES,
    "/anthropic": MESSAGES,
    "/gemini": GENERATE,
    "/openrouter": OPENROUTER,
}


def route(method: str, path: str, handler: Handler) -> Route:
    """Return a route; `{name}` in its path stands for one segment."""
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", path)
    return method, re.compile(pattern + r"/?"), handler


def live_routes(live: Live) -> list[Route]:
    """Return the endpoints that answer at once."""

    def talk(dialect: Dialect) -> Handler:
        return lambda request: live.talk(dialect, request.json())

    def generate(*, is_stream: bool) -> Handler:
        return lambda request, model: live.talk(GENERATE, request.json(), model, is_stream=is_stream)

    def embed_openai(request: Request) -> Response | Broken:
        return live.embed(embeddings.read_openai(request.json()), CHAT, embeddings.write_openai)

    def embed_gemini(*, is_one: bool) -> Handler:
        def handler(request: Request, model: str) -> Response | Broken:
            asked = embeddings.read_gemini(request.json(), model)
            return live.embed(asked, GENERATE, lambda asked, _: embeddings.write_gemini(asked, is_one=is_one))

        return handler

    models = "/gemini/v1beta/models/{model}"
    return [
        route("POST", "/openai/v1/chat/completions", talk(CHAT)),
        route("POST", "/openai/v1/responses", talk(RESPONSES)),
        route("POST", "/openai/v1/embeddings", embed_openai),
        route("POST", "/openrouter/api/v1/chat/completions", talk(OPENROUTER)),
        route("POST", "/anthropic/v1/messages", talk(MESSAGES)),
        route("POST", f"{models}:generateContent", generate(is_stream=False)),
        route("POST", f"{models}:streamGenerateContent", generate(is_stream=True)),
        route("POST", f"{models}:embedContent", embed_gemini(is_one=True)),
        route("POST", f"{models}:batchEmbedContents", embed_gemini(is_one=False)),
    ]


def answered(routes: list[Route], request: Request) -> Response | Streamed | Broken:
    """Answer a request by its route; what no provider would take is refused as one would refuse it."""
    dialect = next((each for base, each in _DIALECTS.items() if request.path.startswith(base)), CHAT)
    if not _key(request):
        return refused(dialect, Failure(status=401, message="no API key was given"))
    for method, pattern, handler in routes:
        found = pattern.fullmatch(request.path) if method == request.method else None
        if found is not None:
            try:
                return handler(request, **found.groupdict())
            except (KeyError, TypeError, ValueError) as error:
                return refused(dialect, Failure(status=400, message=f"bad request: {error!r}"))
    return refused(dialect, Failure(status=404, message=f"the fake has no {request.method} {request.path}"))


def _key(request: Request) -> Any:
    names = ("authorization", "x-api-key", "x-goog-api-key")
    return any(request.headers.get(name) for name in names) or "upload_id" in request.query
