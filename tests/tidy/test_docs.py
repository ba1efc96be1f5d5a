"""What the pages of docs/ point at exists, and what they quote is what the code says."""

import re
from collections.abc import Awaitable, Callable

import click
import pytest

from stageline_cli.group import stageline
from stageline_engine.adapters.memory.registry import MemoryWorkflowRegistry
from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.commands import CreateRun
from stageline_engine.handlers.create import prepare
from stageline_engine.rejections import Rejection
from stageline_engine.testing.clock import EPOCH
from stageline_sdk import Context, MissingOutputError, NoInput, UnknownDependencyError, Workflow, stage
from stageline_sdk.testing import StageEnvironment
from tests.tidy.tree import ROOT, files_of_kind, python_files, read

PAGES = [name for name in files_of_kind(".md") if name.startswith("docs/") or "/" not in name]


@stage("extract")
def extract(ctx: Context[NoInput]) -> str:
    return "text"


@stage("analyze", dependencies=[extract])
def analyze(ctx: Context[NoInput]) -> int:
    return 1


@stage("lines")
def lines(ctx: Context[NoInput]) -> int:
    return 1


@stage("report")
def report(ctx: Context[NoInput]) -> int:
    return int(ctx.require("words"))


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    prose = re.sub(r"`[^`]*`", "", read(name))
    links = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", prose)
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not ((ROOT / name).parent / link).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_commands_that_are_named_exist(name: str) -> None:
    for line in re.findall(r"`(?:\$ )?stageline ([a-z][^`]*)`", read(name)):
        command: click.Command = stageline
        for word in line.split():
            if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z-]+", word):
                break
            found = command.get_command(click.Context(command), word)
            assert found is not None, f"stageline {line}"
            command = found


async def unknown_workflow() -> str:
    registry = MemoryWorkflowRegistry(MemoryState())
    refused = await prepare(CreateRun("default", "document-processor", b"{}"), registry, EPOCH)
    assert isinstance(refused, Rejection)
    return refused.message


async def missing_dependency() -> str:
    with pytest.raises(UnknownDependencyError) as raised:
        Workflow("w", input=NoInput).pipe(lines).pipe(analyze).build()
    return str(raised.value)


async def missing_output() -> str:
    with pytest.raises(MissingOutputError) as raised:
        await StageEnvironment(outputs={"lines": 1}).run(report)
    return str(raised.value)


@pytest.mark.parametrize(
    ("page", "say"),
    [
        ("workflow-not-found", unknown_workflow),
        ("missing-dependency", missing_dependency),
        ("missing-dependency", missing_output),
    ],
)
async def test_quoted_messages_are_those_of_the_code(page: str, say: Callable[[], Awaitable[str]]) -> None:
    quoted = re.findall(r"^> (.*?)$", read(f"docs/troubleshooting/{page}.md"), re.MULTILINE)
    assert await say() in quoted


def test_error_types_that_are_explained_exist() -> None:
    explained = set(re.findall(r"^\| `([A-Z_]+)`", read("docs/troubleshooting/stages-that-fail.md"), re.M))
    explained |= {"INVALID_INPUT", "INVALID_CONFIG"}
    source = "".join(map(read, python_files("engine/stageline_engine/decide", "worker_sdk/stageline_sdk")))
    assert {name for name in explained if f'"{name}"' not in source} == set()
    assert len(explained) >= 8
