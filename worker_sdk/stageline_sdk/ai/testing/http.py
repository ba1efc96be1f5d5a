"""The HTTP side of a fake provider: a thread for each connection, on the loopback only."""

import contextlib
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from stageline_sdk.ai.testing.wire.parts import EventStream

HOST = "127.0.0.1"
# On close the kernel sends a reset instead of an end: the other side sees a connection that broke.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came.

    Attributes:
        method: Such as `POST`.
        path: Without query.
        query: Its fields.
        headers: By name in lower case.
        body: Its bytes.
        base_url: Where this server is reached.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str

    def json(self) -> dict[str, Any]:
        """Return the body as an object.

        Raises:
            ValueError: It is none.
        """
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise ValueError(f"the body must be an object, got {type(value).__name__}")
        return value


@dataclass(frozen=True, slots=True)
class Response:
    """An answer in one piece; a body that is no bytes is written as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer in pieces, that may stop in its middle."""

    events: EventStream
    held_after: int | None = None
    cut_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer: the connection breaks."""


Handling = Callable[[Request], Response | Streamed | Broken]


class HttpServer(ThreadingHTTPServer):
    """Serves one function.

    Attributes:
        handling: Answers requests, each in its connection's thread.
        hold: Waits until what is held is released.
    """

    daemon_threads = True
    # A connection's thread ends with its connection; the threads of clients that linger are not waited for.
    block_on_close = False

    def __init__(self, port: int, handling: Handling, hold: Callable[[], None]) -> None:
        self.handling = handling
        self.hold = hold
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away; anything else is a bug of the fake, and told."""
        import sys  # noqa: PLC0415

        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the library calls it
        """Say nothing: a test's output is its own."""

    def _answer(self) -> None:
        answer = self.server.handling(self._request())
        if isinstance(answer, Broken):
            self._break()
        elif isinstance(answer, Streamed):
            self._stream(answer)
        else:
            self._send(answer)

    def _request(self) -> Request:
        address = urlsplit(self.path)
        return Request(
            method=self.command,
            path=address.path,
            query=dict(parse_qsl(address.query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self._body(),
            base_url=f"http://{HOST}:{self.server.server_port}",
        )

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, answer: Response) -> None:
        is_bytes = isinstance(answer.body, bytes)
        content = answer.body if is_bytes else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("content-type", "application/octet-stream" if is_bytes else "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, answer: Streamed) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in answer.events.opening:
            self._chunk(piece)
        for sent, piece in enumerate((*answer.events.chunks, b"".join(answer.events.closing))):
            if sent == answer.held_after:
                self.server.hold()
            if sent == answer.cut_after:
                return self._break()
            self._chunk(piece)
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _chunk(self, piece: bytes) -> None:
        self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

    def _break(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.connection.close()
