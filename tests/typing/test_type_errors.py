"""A type checker catches misuse of the SDK, and accepts its right use. See the samples beside this file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Mistakes that are none, to see that the check itself would notice.
ALIVE = """\
from stageline_sdk import Workflow
from tests.typing.samples.stages import Document, extract_text, sentiment

Workflow("w", input=Document).pipe(extract_text)  # type: ignore[arg-type]
Workflow("w", input=Document).pipe(sentiment)
"""


@pytest.mark.timeout(300)  # A first run of mypy reads the types of every dependency.
def test_mypy_accepts_right_use_and_refuses_wrong_use(tmp_path: Path) -> None:
    alive = tmp_path / "alive.py"
    alive.write_text(ALIVE)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "tests/typing/samples", str(alive)],
        cwd=ROOT,
        env=os.environ | {"MYPY_FORCE_COLOR": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^(.+?):(\d+): error: .*\[([\w-]+)\]$", checked.stdout, re.MULTILINE)
    assert [(Path(name).name, int(line), code) for name, line, code in found] == [
        ("alive.py", 4, "unused-ignore"),
        ("alive.py", 5, "arg-type"),
    ], checked.stdout + checked.stderr
