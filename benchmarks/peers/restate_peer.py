"""Restate: its server with default settings, its log synced to disk; one Python service process; this is the caller."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from benchmarks.peers.measuring import PAYLOAD, measure, options

SERVER = Path("build/peers/node_modules/.bin/restate-server")
IN_FLIGHT = 256
READY_WITHIN_SECONDS = 60


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """Runs a process for the length of the block."""
    with log.open("w") as told:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=told, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


async def until_registered(http: aiohttp.ClientSession, admin: int, service: int) -> None:
    """Tells the server where the service is, as soon as both are up."""
    for _ in range(READY_WITHIN_SECONDS * 10):
        with contextlib.suppress(aiohttp.ClientError):
            body = {"uri": f"http://127.0.0.1:{service}", "force": True}
            async with http.post(f"http://127.0.0.1:{admin}/deployments", json=body) as answer:
                if answer.ok:
                    return
        await asyncio.sleep(0.1)
    raise RuntimeError("Restate was not ready in time")


async def main() -> None:
    """Starts all, measures, and ends all."""
    node, admin, ingress, service = (free_port() for _ in range(4))
    bind = "127.0.0.1:{}".format
    with tempfile.TemporaryDirectory(prefix="bench-restate-") as name:
        folder = Path(name)
        addresses = {
            "RESTATE_BIND_ADDRESS": bind(node),
            "RESTATE_ADVERTISED_ADDRESS": f"http://{bind(node)}",
            "RESTATE_ADMIN__BIND_ADDRESS": bind(admin),
            "RESTATE_INGRESS__BIND_ADDRESS": bind(ingress),
            "RESTATE_LOG_FILTER": "warn",
        }
        settings = folder / "hypercorn.toml"
        settings.write_text("h2_max_concurrent_streams = 2147483647\nkeep_alive_timeout = 2147483647\n")
        app = "benchmarks.peers.restate_service:app"
        served = [sys.executable, "-m", "hypercorn", "--config", str(settings), "--bind", bind(service), app]
        with (
            started([str(SERVER), "--base-dir", str(folder)], addresses, folder / "server.log"),
            started(served, {}, folder / "service.log"),
        ):
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                await until_registered(http, admin, service)

                async def call(handler: str, stages: int) -> object:
                    url = f"http://{bind(ingress)}/lines/{handler}"
                    async with http.post(url, json={"stages": stages, "payload": PAYLOAD}) as answer:
                        return await answer.json()

                await measure(
                    options(),
                    lambda stages: call("line", stages),
                    lambda stages: call("wide", stages),
                    in_flight=IN_FLIGHT,
                )


if __name__ == "__main__":
    asyncio.run(main())
