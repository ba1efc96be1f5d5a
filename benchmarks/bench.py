"""What the workloads work with: a running server, a worker and the loop's database."""

import argparse
from dataclasses import dataclass

from rich.console import Console

from stageline_sdk import Client
from tests.support.processes import Process
from tests.support.stack import DevServer, Stack

MILLISECONDS = 1000


@dataclass(frozen=True)
class Bench:
    """What is measured, all of it running.

    Attributes:
        stack: Starts further processes.
        server: Server and database.
        worker: The worker process.
        limit_dsn: The database of the hand-written loop, in the same PostgreSQL.
        options: What the command line said.
        console: Where progress is told.
        client: The caller, connected.
    """

    stack: Stack
    server: DevServer
    worker: Process
    limit_dsn: str
    options: argparse.Namespace
    console: Console
    client: Client
