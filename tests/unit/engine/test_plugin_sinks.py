"""The plugins that come along: webhooks that can be verified, and lines of JSON."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from stageline_engine.plugins import PluginError, PluginRunner, json_lines, webhook
from stageline_engine.ports import EventRefusedError
from tests.unit.engine.test_plugins import RUN, SOURCE, story

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef").decode()


class Receiver(HTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.status = 204
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers, body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        if self.server.status != 204:
            self.wfile.write("ä too busy".encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_webhook_posts_signed_json(receiver: Receiver) -> None:
    hook = webhook("crm", f"{receiver.url}/in?x=1", secret=SECRET, headers={"Authorization": "Bearer t"})
    assert await PluginRunner(hook).emit(SOURCE, story("workflow:created", "stage:started")) == 2
    path, headers, body = receiver.requests[0]
    told = json.loads(body)
    assert (path, headers["authorization"], headers["content-type"]) == (
        "/in?x=1",
        "Bearer t",
        "application/json",
    )
    assert (told["type"], told["run_id"], told["sequence"]) == ("workflow:created", str(RUN), 1)
    assert (told["payload"], told["namespace"], told["workflow_name"]) == ({"n": 1}, "acme", "flow")
    assert headers["webhook-id"] == told["id"] == f"{RUN}.1"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"0123456789abcdef", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


async def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    await PluginRunner(webhook("crm", receiver.url, on=["stage:*"])).emit(SOURCE, story("run:a", "stage:a"))
    [(path, headers, _)] = receiver.requests
    assert path == "/"
    assert "webhook-signature" not in headers


@pytest.mark.parametrize("status", [302, 400, 503])
async def test_only_2xx_means_taken(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(EventRefusedError, match=rf"WebhookRefusedError: HTTP {status} .*: ä too busy"):
        await PluginRunner(webhook("crm", receiver.url)).emit(SOURCE, story("a"))
    assert len(receiver.requests) == 1


async def test_a_receiver_that_is_away_is_a_refusal(receiver: Receiver) -> None:
    hook = webhook("crm", "http://127.0.0.1:1")
    with pytest.raises(EventRefusedError, match="ConnectionRefusedError"):
        await PluginRunner(hook).emit(SOURCE, story("a"))


@pytest.mark.parametrize(
    ("url", "secret"),
    [("ftp://x", ""), ("https://", ""), ("x", ""), ("http://x", "short"), ("http://x", "whsec_%")],
)
def test_a_wrong_url_or_secret_is_told_without_the_secret(url: str, secret: str) -> None:
    with pytest.raises(PluginError) as raised:
        webhook("crm", url, secret=secret)
    assert "crm" in str(raised.value)
    assert "short" not in str(raised.value)


async def test_lines_of_json_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    runner = PluginRunner(json_lines("file", path, on=["stage:*"]))
    assert await runner.emit(SOURCE, story("workflow:created", "stage:started", "stage:completed")) == 3
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["type"], line["sequence"]) for line in lines] == [
        ("stage:started", 2),
        ("stage:completed", 3),
    ]


async def test_a_dash_is_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    await PluginRunner(json_lines("out", "-")).emit(SOURCE, story("a"))
    assert json.loads(capfdbinary.readouterr().out)["type"] == "a"


async def test_a_file_that_cannot_be_written_is_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(EventRefusedError, match="IsADirectoryError"):
        await PluginRunner(json_lines("file", tmp_path)).emit(SOURCE, story("a"))
