"""Runs the demo: `python -m examples.demo [DOCS...]`, or `make demo`.

Exits with 0 if every run completed, 1 if one failed, 2 if it could not begin, 130 after Ctrl-C, 143 after SIGTERM.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from examples.demo.children import ChildEndedError
from examples.demo.display import LiveProgress, summary, table
from examples.demo.runs import Batch, process_all
from examples.demo.services import NotReadyError, dev_server, worker
from examples.documents import corpus
from stageline_sdk import Client, StagelineError

DATA_DIR = Path(".stageline/demo")
WIDTH_WITHOUT_TERMINAL = 150
WORKER_CONCURRENCY = 16


async def demo(documents: Sequence[str], data_dir: Path, console: Console) -> Batch:
    """Starts everything, processes the documents, and stops what it started.

    Raises:
        ChildEndedError: The server or the worker ended by itself.
        NotReadyError: The server did not become ready.
        StagelineError: The server refused the workflow.
    """
    _stop_on_termination()
    urls = corpus.named(documents) if documents else corpus.collect(data_dir / "documents")
    console.print(f"Starting a dev server, data folder {data_dir}")
    async with dev_server(data_dir) as (server, address):
        console.print(f"Server ready at {address} (pid {server.pid}); starting a worker")
        async with worker(address, WORKER_CONCURRENCY, data_dir / "logs") as hand, Client(address) as client:
            console.print(f"Processing {len(urls)} documents")
            with LiveProgress(console, len(urls)) as progress:
                work = process_all(client, urls, on_event=progress.on_event, on_outcome=progress.on_outcome)
                return await unless_one_ends(work, server.watch(), hand.watch())


def _stop_on_termination() -> None:
    """Makes SIGTERM end the demo as Ctrl-C does, so that it leaves no process behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def unless_one_ends(work: Coroutine[Any, Any, Batch], *watches: Coroutine[Any, Any, None]) -> Batch:
    """Does the work, unless a process that it needs ends: then it would wait for ever."""
    working = asyncio.create_task(work)
    watching = [asyncio.create_task(watch) for watch in watches]
    try:
        await asyncio.wait([working, *watching], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await asyncio.gather(*(watch for watch in watching if watch.done()))
        return await working
    finally:
        for task in (working, *watching):
            task.cancel()
        await asyncio.gather(working, *watching, return_exceptions=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "documents", nargs="*", help="files, folders or URLs (default: documents of this checkout)"
    )
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR, help=f"default {DATA_DIR}")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)
    try:
        batch = asyncio.run(demo(options.documents, options.data_dir.absolute(), console))
    except (KeyboardInterrupt, asyncio.CancelledError) as interruption:
        console.print("Interrupted; everything that was started is stopped.")
        return 130 if isinstance(interruption, KeyboardInterrupt) else 143
    except (ChildEndedError, NotReadyError, StagelineError) as error:
        Console(stderr=True).print(f"The demo failed: {error}", style="red", markup=False)
        return 2
    console.print(table(batch))
    console.print(summary(batch))
    return 1 if batch.failed_count else 0


if __name__ == "__main__":
    sys.exit(main())
