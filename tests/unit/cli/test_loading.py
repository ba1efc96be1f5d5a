"""Finding a worker by `module:attribute`, and saying what is wrong when there is none."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError
from stageline_cli.loading import load_worker
from stageline_sdk import Worker

STAGES = """
from stageline_sdk import Context, NoInput, Worker, Workflow, stage

@stage("nothing")
def nothing(ctx: Context[NoInput]) -> None: ...

unbuilt = Workflow("loaded", input=NoInput).pipe(nothing)
workflow = unbuilt.build()
worker = Worker(workflow)
class Deep:
    worker = Worker(workflow, name="deep")
"""
NUMBERS = itertools.count()

MakeModule = Callable[[str], str]


@pytest.fixture
def make_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeModule]:
    """Writes a module into the current folder and returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made: list[str] = []

    def make(text: str) -> str:
        name = f"loaded_module_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("suffix", "name"), [(":worker", "loaded"), ("", "loaded"), (":Deep.worker", "deep")]
)
def test_a_worker_is_found_in_the_current_folder(make_module: MakeModule, suffix: str, name: str) -> None:
    worker = load_worker(make_module(STAGES) + suffix)
    assert isinstance(worker, Worker)
    assert worker.name == name


@pytest.mark.parametrize(
    ("text", "suffix", "message"),
    [
        (STAGES, ":wroker", "has no 'wroker'; its workers: worker"),
        ("", ":worker", r"has no 'worker'; add: worker = Worker\(my_workflow\)"),
        (STAGES, ":workflow", r"is a workflow, not a worker; add to the module: worker = Worker\(workflow\)"),
        (STAGES, ":unbuilt", r"worker = Worker\(unbuilt\.build\(\)\)"),
        (STAGES, ":nothing", r"is no stageline_sdk\.Worker but a Stage"),
        ("import no_such_library", "", "needs 'no_such_library', which is not installed"),
        ("1 / 0", "", "could not be imported: ZeroDivisionError"),
        ("from stageline_sdk import Worker\nworker = Worker()", "", "at least one workflow"),
    ],
)
def test_what_is_wrong_is_told(make_module: MakeModule, text: str, suffix: str, message: str) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        load_worker(make_module(text) + suffix)
    assert raised.value.exit_code == ExitCode.USAGE


def test_a_module_that_does_not_exist(make_module: MakeModule) -> None:
    make_module("")
    with pytest.raises(CommandError, match=r"there is no module 'nowhere_at_all\.here'"):
        load_worker("nowhere_at_all.here:worker")


def test_a_file_is_no_module(make_module: MakeModule) -> None:
    make_module("")
    with pytest.raises(CommandError, match=r"stageline worker my_app\.stages:worker"):
        load_worker("./my_app/stages.py:worker")
