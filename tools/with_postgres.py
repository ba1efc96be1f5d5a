"""Run a command with STAGELINE_TEST_DATABASE_URL set.

Usage: python tools/with_postgres.py COMMAND [ARGUMENT...]

Where the variable is already set, the command runs as it is. Elsewhere a private PostgreSQL is started
from the machine's own binaries, in a temporary folder, on a free port of 127.0.0.1, and is stopped and
removed afterwards, whatever becomes of the command. PostgreSQL refuses to run as root; then the
`postgres` user runs it, or `nobody`.

Exits with the command's own code, or with 2 when there is no PostgreSQL to start.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

URL_VARIABLE = "STAGELINE_TEST_DATABASE_URL"
DEBIAN_ROOT = Path("/usr/lib/postgresql")
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
PORT_TRIES_MAX = 5

# The data is thrown away, so nothing needs to survive a power cut; everything else is as in production.
SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=200", "listen_addresses=127.0.0.1")


def find_binaries() -> Path | None:
    """Return the folder of the oldest installed PostgreSQL (the floor is what is worth testing)."""
    installed = [path for path in DEBIAN_ROOT.glob("*/bin") if (path / "initdb").exists()]
    if installed:
        return min(installed, key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def unprivileged_user() -> str | None:
    """Return the user who must run PostgreSQL, or None when the caller may do so."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(binaries: Path, server: subprocess.Popen[bytes], port: int) -> bool:
    """Return True once the server takes connections, False when it ended or took too long."""
    deadline = time.monotonic() + START_SECONDS_MAX
    command = [str(binaries / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]
    while server.poll() is None and time.monotonic() < deadline:
        if subprocess.run(command, check=False).returncode == 0:
            return True
        time.sleep(0.05)
    return False


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server: first politely (fast shutdown), then at once."""
    for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if server.poll() is not None:
            return
        server.send_signal(sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=STOP_SECONDS_MAX)


def start(binaries: Path, folder: Path, user: str | None) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server and return it with its port; another port is tried when one is taken."""
    log = folder / "server.log"
    for _ in range(PORT_TRIES_MAX):
        port = free_port()
        options = [*SETTINGS, f"port={port}", f"unix_socket_directories={folder}"]
        command = [str(binaries / "postgres"), "-D", str(folder / "data")]
        for option in options:
            command += ["-c", option]
        with log.open("ab") as output:
            server = subprocess.Popen(
                command, user=user, cwd=folder, stdout=output, stderr=output, start_new_session=True
            )
        if wait_until_ready(binaries, server, port):
            return server, port
        stop(server)
    print(log.read_text(errors="replace"), file=sys.stderr)
    raise SystemExit("with_postgres: PostgreSQL did not start; its log is above")


@contextlib.contextmanager
def throw_away_cluster(binaries: Path) -> Iterator[str]:
    """Yield the URL of a private PostgreSQL that lives as long as the block."""
    user = unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="stageline-pg-"))
    server = None
    try:
        if user is not None:
            shutil.chown(folder, user)
        command = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "stageline"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        created = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True, check=False)
        if created.returncode != 0:
            raise SystemExit(f"with_postgres: initdb failed:\n{created.stdout}{created.stderr}")
        server, port = start(binaries, folder, user)
        yield f"postgresql://stageline@127.0.0.1:{port}/postgres"
    finally:
        if server is not None:
            stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str], url: str) -> int:
    """Run the command with the URL; an interrupt is passed on by the terminal and waited out."""
    child = subprocess.Popen(command, env={**os.environ, URL_VARIABLE: url})
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


def main(arguments: list[str]) -> int:
    """Run the command line."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    given = os.environ.get(URL_VARIABLE)
    if given:
        return run(arguments, given)
    binaries = find_binaries()
    if binaries is None:
        print(f"with_postgres: set {URL_VARIABLE}, or install PostgreSQL (postgresql-15)", file=sys.stderr)
        return 2
    # A polite end must unwind, so that the server is stopped and the folder removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with throw_away_cluster(binaries) as url:
        return run(arguments, url)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
