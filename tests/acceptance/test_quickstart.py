"""The README's "Five minutes, by hand": its very commands, in its order, in a shell, on a free port."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.support.invariants import violations
from tests.support.processes import REPOSITORY, STAGELINE, Finished, Processes
from tests.support.stack import DevServer

pytestmark = pytest.mark.timeout(180)

SECTION = re.compile(r"^## Five minutes, by hand\n(.*?)^## ", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (stageline .*?)(?:\s{2,}# .*)?$", re.MULTILINE)
ADDRESS = re.compile(r"^ *address +(\S+)$", re.MULTILINE)


def readme_commands() -> list[str]:
    """The commands of the section, without their remarks."""
    section = SECTION.search((REPOSITORY / "README.md").read_text())
    assert section, "the README has no such section"
    return COMMAND.findall(section[1])


def test_the_commands_of_the_readme_work_as_written(processes: Processes, tmp_path: Path) -> None:
    dev, worker, start, list_, get = readme_commands()
    shell = {
        "PATH": f"{Path(STAGELINE).parent}{os.pathsep}{os.environ['PATH']}",
        "STAGELINE_LISTEN": "127.0.0.1:0",
        "STAGELINE_DATA_DIR": str(tmp_path / "data"),
    }

    server = processes.start("server", "/bin/sh", "-c", f"exec {dev}", environment=shell)
    server.wait_for_log("Stageline is ready")
    found = ADDRESS.search(server.log())
    assert found, server.log()
    shell["STAGELINE_ADDRESS"] = found[1]
    running = DevServer(server, tmp_path / "data", found[1])
    processes.start("worker", "/bin/sh", "-c", f"exec {worker}", environment=shell)
    running.wait_for_sessions(1)

    def run(command: str) -> Finished:
        finished = processes.run("run", "/bin/sh", "-c", command, environment=shell)
        assert finished.exit_code == 0, finished.errors
        return finished

    output = json.loads(run(start).output)
    assert output["format"] == "Markdown"
    assert output["language"] == "en"
    assert output["word_count"] > 100
    assert "document-processor" in run(list_).output
    [(run_id,)] = running.query("SELECT id::text FROM runs")
    shown = json.loads(run(get.replace("RUN_ID", run_id)).output)
    assert (shown["status"], shown["output"]) == ("COMPLETED", output)
    assert violations(running.dsn) == {}
