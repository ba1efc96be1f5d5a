"""The dev server and the worker of the demo."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from examples.demo.children import Child, running, stageline

PROJECT = Path(__file__).resolve().parents[2]
WORKER = "examples.document_processor:worker"
# The first start makes the database; after a crash it recovers.
READY_LIMIT = timedelta(seconds=90)
POLL_INTERVAL = timedelta(milliseconds=50)


class NotReadyError(Exception):
    """The server did not become ready in time; the message holds the end of its log."""


@contextlib.asynccontextmanager
async def dev_server(data_dir: Path) -> AsyncIterator[tuple[Child, str]]:
    """Runs `stageline dev` on a free port, and yields it with its address once it is ready.

    Raises:
        ChildEndedError: It ended instead.
        NotReadyError: It took too long.
    """
    ready_file = data_dir / "ready.json"
    ready_file.parent.mkdir(parents=True, exist_ok=True)
    ready_file.unlink(missing_ok=True)
    command = stageline("dev", "--port", "0", "--data-dir", str(data_dir), "--ready-file", str(ready_file))
    log_file = data_dir / "logs" / "server.log"
    async with running("server", command, log_file=log_file, cwd=PROJECT, environment={}) as child:
        yield child, await _address_when_ready(child, ready_file)


@contextlib.asynccontextmanager
async def worker(address: str, concurrency: int, log_dir: Path) -> AsyncIterator[Child]:
    """Runs `stageline worker` with the document processor."""
    command = stageline("worker", WORKER, "--concurrency", str(concurrency))
    environment = {"STAGELINE_ADDRESS": address}
    async with running(
        "worker", command, log_file=log_dir / "worker.log", cwd=PROJECT, environment=environment
    ) as child:
        yield child


async def _address_when_ready(child: Child, ready_file: Path) -> str:
    ended = asyncio.ensure_future(child.watch())
    try:
        async with asyncio.timeout(READY_LIMIT.total_seconds()):
            while not (address := _read_address(ready_file)):
                await asyncio.wait([ended], timeout=POLL_INTERVAL.total_seconds())
                if ended.done():
                    await ended
    except TimeoutError as error:
        raise NotReadyError(f"the server was not ready within {READY_LIMIT}:\n{child.log_tail()}") from error
    finally:
        ended.cancel()
    return address


def _read_address(ready_file: Path) -> str:
    """The address in the file; empty while the file is missing or half written."""
    try:
        return str(json.loads(ready_file.read_text())["address"])
    except (FileNotFoundError, ValueError, KeyError):
        return ""
