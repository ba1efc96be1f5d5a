"""docs/commands has a page for every command, and what the pages name exists."""

import re
from pathlib import Path

import pytest

from stageline.v1 import (
    admin_service_pb2,
    artifact_service_pb2,
    event_service_pb2,
    run_service_pb2,
    usage_service_pb2,
    worker_service_pb2,
    workflow_service_pb2,
)
from stageline_engine.kernel import HANDLERS
from stageline_sdk import Client
from tests.tidy.tree import read
from tools.code_reach import Package
from tools.document_commands import commands, pages, told

SERVICES = (
    admin_service_pb2,
    artifact_service_pb2,
    event_service_pb2,
    run_service_pb2,
    usage_service_pb2,
    worker_service_pb2,
    workflow_service_pb2,
)
METHODS = {
    f"{service.name}.{method.name}"
    for module in SERVICES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ORIGINAL = {"run.create", "run.claimPending", "run.transition", "run.cancel", "run.rerunFrom"} | {
    "lease.reapStale",
    "run.reapStuck",
    "outbox.flush",
    "plugin.replayDLQ",
    "job.lease",
    "job.report",
    "stage.resume",
}
PAGES = {path.stem: text for path, text in pages().items()}


def test_every_command_has_a_page() -> None:
    assert set(HANDLERS) <= set(commands())
    assert {told(command).name for command in commands()} == PAGES.keys() - {"README"}
    assert PAGES.keys() >= ORIGINAL


@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"README"}))
def test_what_a_page_names_exists(name: str) -> None:
    page = PAGES[name]
    assert set(re.findall(r"`([A-Z]\w*Service\.\w+)`", page)) <= METHODS
    assert [one for one in re.findall(r"`Client\.(\w+)`", page) if not hasattr(Client, one)] == []
    headings = {
        re.sub(r"[^a-z_]", "", title) for title in re.findall(r"^### `(.*)`", read("docs/events.md"), re.M)
    }
    assert set(re.findall(r"events\.md#(\w+)", page)) <= headings


def test_a_page_tells_what_the_handler_can_do() -> None:
    page = PAGES["run.rerunFrom"]
    assert set(re.findall(r"^- `([A-Z_]+)`: Code", page, re.M)) >= {"RUN_NOT_RERUNNABLE", "STAGE_NOT_FOUND"}
    assert "`run:rerun`" in page
    assert "`workflow:cancelled`" not in page


def test_a_walk_follows_names_and_passes_over_annotations(tmp_path: Path) -> None:
    root = tmp_path / "pack"
    root.mkdir()
    (root / "facts.py").write_text("class Made:\n    pass\n\nclass Kept:\n    pass\n")
    (root / "work.py").write_text(
        "from pack import facts\nfrom pack.facts import Kept\n\n"
        "def start(given: Kept) -> Kept:\n    return helper(given)\n\n"
        "def helper(given: Kept) -> object:\n    note: Kept = given\n    return facts.Made()\n\n"
        "def other() -> object:\n    return Kept()\n"
    )
    found = Package(root).reach("pack.work.start")
    assert "pack.facts.Made" in found.calls
    assert "pack.facts.Kept" not in found.names
    assert "pack.work.other" not in found.names
