"""`ctx.storage` in stages of every kind: on the loop, in threads, in processes."""

import io
from pathlib import Path
from typing import Any

from stageline_sdk import Artifact, Context, NoInput, NotFoundError, stage
from stageline_sdk.testing import StageEnvironment


@stage("in-a-process", executor="process")
def in_a_process(ctx: Context[NoInput]) -> list[Any]:
    ctx.storage.put("text", "grüße")
    ctx.storage.put("file", io.BytesIO(b"x" * 300_000))
    copy = io.BytesIO()
    artifact = ctx.storage.download("file", copy)
    try:
        ctx.storage.get("none")
    except NotFoundError as error:
        return [ctx.storage.get_text("text"), len(copy.getvalue()), artifact.size_bytes, error.reason]
    return []


@stage("on-the-loop")
async def on_the_loop(ctx: Context[NoInput]) -> list[str]:
    storage = ctx.async_storage
    await storage.put_json("a/1.json", {"n": 1})
    await storage.put("a/2", b"2")
    assert await storage.get_json("a/1.json") == {"n": 1}
    assert await storage.get("a/2") == b"2"
    assert await storage.delete("a/2")
    assert not await storage.delete("a/2")
    return [each.key for each in await storage.list("a/")]


@stage("in-a-thread")
def in_a_thread(ctx: Context[str]) -> str:
    path = Path(ctx.input)
    path.write_bytes(b"of a file")
    put = ctx.storage.put("file", path, content_type="image/png")
    assert isinstance(put, Artifact)
    ctx.storage.download("given", path)
    return path.read_text()


async def test_a_stage_in_a_process_speaks_through_its_pipe() -> None:
    env = StageEnvironment()
    assert await env.run(in_a_process) == ["grüße", 300_000, 300_000, "ARTIFACT_NOT_FOUND"]
    assert env.artifacts == {"text": "grüße".encode(), "file": b"x" * 300_000}


async def test_a_stage_on_the_loop_awaits() -> None:
    assert await StageEnvironment().run(on_the_loop) == ["a/1.json"]


async def test_a_stage_in_a_thread_puts_files_and_finds_what_it_is_given(tmp_path: Path) -> None:
    env = StageEnvironment()
    env.artifacts["given"] = b"from before"
    assert await env.run(in_a_thread, str(tmp_path / "file")) == "from before"
    assert env.artifacts["file"] == b"of a file"
