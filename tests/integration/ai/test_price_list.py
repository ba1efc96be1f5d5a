"""The list of prices is fetched where the registry says so, and a call is priced by the new one."""

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from genai_prices import UpdatePrices
from genai_prices.data_snapshot import set_custom_snapshot

from stageline_sdk import Context, NoInput, stage
from stageline_sdk.ai import AiModel, ModelRegistry
from stageline_sdk.ai.testing import FakeProvider, Reply, Tokens
from stageline_sdk.testing import StageEnvironment

NEW_LIST = [
    {
        "id": "openai",
        "name": "OpenAI",
        "api_pattern": r"https://api\.openai\.com",
        "extractors": [
            {
                "root": "usage",
                "api_flavor": "responses",
                "mappings": [
                    {"path": "input_tokens", "dest": "input_tokens"},
                    {"path": "output_tokens", "dest": "output_tokens"},
                ],
            }
        ],
        "models": [
            {
                "id": "gpt-of-tomorrow",
                "match": {"equals": "gpt-of-tomorrow"},
                "prices": {"input_mtok": 7, "output_mtok": 9},
            }
        ],
    }
]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(NEW_LIST).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, _format: str, *_args: object) -> None:
        pass


@pytest.fixture
def prices_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/prices.json"
    server.shutdown()
    server.server_close()
    thread.join()
    set_custom_snapshot(None)


async def test_a_model_that_the_installed_list_does_not_have_gets_its_price(
    fake: FakeProvider, prices_url: str
) -> None:
    fake.answer(*(Reply(text="x", tokens=Tokens(input=1_000_000)) for _ in range(2)))
    models = ModelRegistry([AiModel(key="gpt-of-tomorrow", provider="openai")], prices_url=prices_url)

    @stage("ask")
    async def ask(ctx: Context[NoInput]) -> Decimal | None:
        await ctx.ai.generate_text("?", model="gpt-of-tomorrow")
        with UpdatePrices(url=prices_url) as updater:
            assert updater.wait(20)
        return (await ctx.ai.generate_text("?", model="gpt-of-tomorrow")).usage.cost_usd

    assert await StageEnvironment(models=models).run(ask) == Decimal(7)
