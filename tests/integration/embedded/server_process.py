"""A stand-in for the server that tests can kill: holds an embedded database until its input closes.

Run as `python server_process.py FOLDER [UID GID]`; prints one line of JSON when the database is ready.
With numbers, root becomes that account once everything is imported, since the interpreter's own files may be
closed to it.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from stageline_server.embedded import EmbeddedPostgres


async def main() -> None:
    async with EmbeddedPostgres(Path(sys.argv[1])) as database:
        print(json.dumps({"dsn": database.dsn, "postgres_pid": database.pid}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def become(uid: int, gid: int) -> None:
    asyncio.run(asyncio.to_thread(int))  # imports what is imported late
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        become(int(sys.argv[2]), int(sys.argv[3]))
    asyncio.run(main())
