"""A small HTTP server with the manners that fetching must bear: slow, broken, huge, moved."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator

MIB = 1024 * 1024

RESPONSES = {
    "/page.html": ("200 OK", "text/html; charset=utf-8", b"<html><body><p>Hello page</p></body></html>"),
    "/missing": ("404 Not Found", "text/plain", b"no"),
    "/gone": ("410 Gone", "text/plain", b"no"),
    "/forbidden": ("403 Forbidden", "text/plain", b"no"),
    "/down": ("503 Service Unavailable", "text/plain", b"later"),
    "/broken": ("500 Internal Server Error", "text/plain", b"oops"),
    "/busy": ("429 Too Many Requests\r\nRetry-After: 7", "text/plain", b"later"),
    "/busy-for-ages": ("429 Too Many Requests\r\nRetry-After: 99999999999", "text/plain", b"later"),
    "/moved": ("302 Found\r\nLocation: /page.html", "text/plain", b""),
    "/loop": ("302 Found\r\nLocation: /loop", "text/plain", b""),
    "/to-file": ("302 Found\r\nLocation: file:///etc/hostname", "text/plain", b""),
    "/bomb": ("200 OK\r\nContent-Encoding: gzip", "text/plain", gzip.compress(bytes(2 * MIB))),
    "/not-gzip": ("200 OK\r\nContent-Encoding: gzip", "text/plain", b"plain"),
}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    path = (await reader.readline()).split()[1].decode()
    while (await reader.readline()).strip():
        pass
    if path == "/never":
        await reader.read()  # until the client goes away
    elif path == "/cut":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
    elif path == "/announced":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
    elif path == "/endless":
        await _write_until_refused(writer)
    else:
        status, content_type, body = RESPONSES[path]
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.close()


async def _write_until_refused(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(64):
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()


@contextlib.asynccontextmanager
async def web_server() -> AsyncIterator[str]:
    """Serve on a free port; yields the URL of its root, without a slash."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
