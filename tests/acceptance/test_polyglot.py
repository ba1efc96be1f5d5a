"""One workflow, three languages: stages in Python, Go and TypeScript, and a run started from each of them."""

import json
import shutil
import subprocess
from datetime import timedelta

import pytest

from stageline_sdk import SyncClient
from tests.support.processes import REPOSITORY, Processes
from tests.support.stack import DevServer, Stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

GO = str(REPOSITORY / "build/workers/polyglot-go")
TYPESCRIPT = str(REPOSITORY / "worker_sdk/typescript/dist/examples/polyglot.js")
TEXT = "A Title\n\nand some text"
SUMMARY = {"title": "A Title", "words": 5, "lines": 3, "letters": 17, "most_frequent": "t"}
# The first build downloads and compiles gRPC for Go; later ones take a second.
BUILD_WITHIN = timedelta(minutes=4)


@pytest.fixture(scope="module")
def node() -> str:
    """Builds the workers in Go and TypeScript; returns the path of Node."""
    found = {name: shutil.which(name) for name in ("go", "node", "npm")}
    absent = [name for name, path in found.items() if path is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)} (needed for the SDKs in Go and TypeScript)")
    for language in ("go", "typescript"):
        command = [str(REPOSITORY / f"tools/build_{language}.sh"), "--build-only"]
        built = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_WITHIN.total_seconds(), check=False
        )
        assert built.returncode == 0, built.stdout + built.stderr
    return str(found["node"])


@pytest.fixture
def server(stack: Stack, processes: Processes, node: str) -> DevServer:
    """A server, and a worker of each language."""
    server = stack.dev()
    environment = {"STAGELINE_ADDRESS": server.address}
    stack.worker("examples.polyglot:worker", server)
    for name, *command in (("go", GO), ("typescript", node, TYPESCRIPT)):
        sessions = server.count_sessions()
        process = processes.start(name, *command, environment=environment)
        server.wait_for_sessions(sessions + 1, of=process)
    return server


def test_stages_of_one_run_are_worked_on_in_three_languages(server: DevServer) -> None:
    with SyncClient(server.address) as client:
        result = client.run_and_wait("polyglot", {"body": TEXT})
        assert (result.error, result.output) == (None, SUMMARY)
        logged = {line.stage_id: line.message for line in client.list_logs(result.run_id)}
        assert logged == {"count": "counting", "letters": "counting"}
        sessions = {session.name: session.sdk.split()[0] for session in client.list_workers()}
    assert sessions == {
        "polyglot-python": "stageline-python",
        "polyglot-go": "stageline-go",
        "polyglot-typescript": "stageline-typescript",
    }


def test_a_run_is_started_from_each_language(server: DevServer, processes: Processes, node: str) -> None:
    environment = {"STAGELINE_ADDRESS": server.address}
    for command in ((GO,), (node, TYPESCRIPT)):
        finished = processes.run("client", *command, "run", TEXT, environment=environment)
        state, _, rest = finished.output.partition(" ")
        assert (finished.exit_code, state) == (0, "COMPLETED"), finished.errors
        assert json.loads(rest) == SUMMARY


def test_a_failure_in_another_language_is_told_in_its_words(server: DevServer) -> None:
    with SyncClient(server.address) as client:
        result = client.run_and_wait("polyglot", {"body": " "})
    assert not result.is_completed
    assert result.error is not None
    assert result.error.stage_id == "count"
    assert result.error.message == "there is nothing to count"


def test_an_input_larger_than_a_frame_reaches_every_language(server: DevServer) -> None:
    words = 400_000
    with SyncClient(server.address) as client:
        result = client.run_and_wait("polyglot", {"body": "letters " * words})
    assert result.error is None
    assert (result.output["words"], result.output["letters"]) == (words, 7 * words)
