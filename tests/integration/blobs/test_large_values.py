"""Values over the inline limit and artifacts, by client, worker and server over real connections."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from stageline_engine.limits import FRAME_BYTES_MAX, PAYLOAD_INLINE_BYTES_MAX
from stageline_local import LocalHost
from stageline_sdk import (
    Artifact,
    Client,
    Context,
    InvalidArgumentError,
    NoInput,
    NotFoundError,
    StillWaiting,
    Suspended,
    SyncClient,
    Worker,
    Workflow,
    stage,
)
from tests.integration.server.running import Server
from tests.waiting import eventually

LARGE = 3 * FRAME_BYTES_MAX
EVERY_BYTE = bytes(range(256))


class Text(BaseModel):
    text: str


@stage("grow")
async def grow(ctx: Context[Text]) -> Text:
    return Text(text=ctx.input.text * 2)


@stage("left")
def left(ctx: Context[Text]) -> Text:
    return Text(text=f"l{ctx.input.text}")


@stage("right")
def right(ctx: Context[Text]) -> int:
    return len(ctx.input.text)


@stage("patient", mode="async-batch")
async def patient(ctx: Context[Text]) -> Text | Suspended:
    return Suspended(state={"text": f"a{ctx.input.text}"}, first_check=timedelta(0))


@patient.check
async def look(ctx: Context[NoInput], state: dict[str, str]) -> Text | StillWaiting:
    if state["text"].startswith("a"):
        return StillWaiting(state={"text": f"b{state['text']}"}, next_check=timedelta(seconds=1))
    return Text(text=state["text"])


@stage("keeper")
def keeper(ctx: Context[NoInput]) -> list[str]:
    ctx.storage.put("bytes.bin", EVERY_BYTE)
    ctx.storage.put("notes/plain.txt", "grüße")
    ctx.storage.put_json("notes/value.json", {"n": 1})
    ctx.storage.put("file", io.BytesIO(b"x" * 600_000))
    ctx.storage.put("gone", b"1")
    assert ctx.storage.delete("gone")
    assert not ctx.storage.delete("gone")
    with pytest.raises(NotFoundError):
        ctx.storage.get("gone")
    with pytest.raises(InvalidArgumentError):
        ctx.storage.put("../other", b"x")
    return [each.key for each in ctx.storage.list()]


@stage("reader")
async def reader(ctx: Context[NoInput]) -> list[str]:
    assert await ctx.async_storage.get("bytes.bin") == EVERY_BYTE
    for missing in ("gone", "never-there"):
        with pytest.raises(NotFoundError):
            await ctx.async_storage.get(missing)
        assert not await ctx.async_storage.delete(missing)
    copy = io.BytesIO()
    artifact = await ctx.async_storage.download("file", copy)
    value = await ctx.async_storage.get_json("notes/value.json")
    text = await ctx.async_storage.get_text("notes/plain.txt")
    return [artifact.stage_id, str(len(copy.getvalue())), str(value["n"]), text]


GROWING = Workflow("growing", input=Text).pipe(grow).parallel(left, right).build()
PATIENT = Workflow("patient", input=Text).pipe(patient).build()
KEEPING = Workflow("keeping", input=NoInput).pipe(keeper).pipe(reader).build()

NOBODYS = Workflow("nobodys", input=Text).pipe(grow).build()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    worker = Worker(GROWING, PATIENT, KEEPING)
    serving = asyncio.create_task(worker.run(server.application.address))
    async with Client(server.application.address) as client:

        async def has_workflows() -> bool:
            return len([each async for each in client.list_workflows()]) == 4

        await client.register_workflow(NOBODYS)
        await eventually(has_workflows, what="the worker's workflows")
        yield client
    worker.stop(timedelta(0))
    with suppress(Exception):
        await serving


async def test_large_inputs_and_outputs_go_through_by_themselves(client: Client) -> None:
    text = "x" * LARGE
    result = await client.run_and_wait(GROWING, Text(text=text))
    assert result.is_completed, result.error
    assert result.run.input == {"text": text}
    assert result.stage("grow").output == {"text": text * 2}
    assert result.output == {"left": {"text": f"l{text * 2}"}, "right": 2 * LARGE}


async def test_a_value_just_over_the_limit_is_stored_apart_and_one_at_it_is_not(
    client: Client, server: Server
) -> None:
    around = len(Text(text="").model_dump_json())
    at, above = (Text(text="y" * (PAYLOAD_INLINE_BYTES_MAX + over - around)) for over in (0, 1))
    await client.create_run(NOBODYS.name, at)
    assert [entry async for entry in server.ports.blobs.list()] == []
    run = await client.create_run(NOBODYS.name, above)
    assert len([entry async for entry in server.ports.blobs.list()]) == 1
    assert (await client.get_run(run.id)).input == above.model_dump()


async def test_large_states_of_suspensions_go_through(client: Client) -> None:
    text = "z" * LARGE
    result = await client.run_and_wait(PATIENT, Text(text=text))
    assert result.is_completed, result.error
    assert result.output == {"text": f"ba{text}"}


async def test_11_4_50_what_a_stage_keeps_a_later_one_finds(client: Client, tmp_path: Path) -> None:
    result = await client.run_and_wait(KEEPING)
    assert result.is_completed, result.error
    keys = ["bytes.bin", "file", "notes/plain.txt", "notes/value.json"]
    assert result.stage("keeper").output == keys
    assert result.output == ["keeper", "600000", "1", "grüße"]
    found = [each async for each in client.artifacts(result.run_id, prefix="notes/")]
    assert [(each.key, each.content_type, each.stage_id) for each in found] == [
        ("notes/plain.txt", "text/plain; charset=utf-8", "keeper"),
        ("notes/value.json", "application/json", "keeper"),
    ]
    assert await client.get_artifact(result.run_id, "notes/plain.txt") == "grüße".encode()
    artifact = await client.download_artifact(result.run_id, "file", tmp_path / "copy")
    assert artifact.size_bytes == (tmp_path / "copy").stat().st_size == 600_000


async def test_a_rerun_begins_without_the_artifacts_of_what_runs_again(client: Client) -> None:
    first = await client.run_and_wait(KEEPING)
    await client.put_artifact(first.run_id, "of-client", b"stays")
    await client.put_artifact(first.run_id, "notes/of-client", "text")
    await client.rerun_run(first.run_id)
    again = await client.wait_for_run(first.run_id)
    assert again.is_completed, again.error
    assert await client.get_artifact(first.run_id, "of-client") == b"stays"
    assert again.stage("keeper").output == [
        "bytes.bin",
        "file",
        "notes/of-client",
        "notes/plain.txt",
        "notes/value.json",
        "of-client",
    ]


async def test_a_client_puts_gets_lists_and_deletes(client: Client, tmp_path: Path) -> None:
    run = await client.create_run(KEEPING)
    (tmp_path / "file").write_bytes(b"a" * 700_000)
    put = await client.put_artifact(run.id, "up/file", tmp_path / "file", content_type="image/png")
    assert (put.key, put.size_bytes, put.content_type, put.stage_id) == ("up/file", 700_000, "image/png", "")
    with (tmp_path / "file").open("rb") as file:
        file.seek(699_999)
        assert (await client.put_artifact(run.id, "up/rest", file)).size_bytes == 1
    listed = [each async for each in client.artifacts(run.id, prefix="up/")]
    assert [each.key for each in listed] == ["up/file", "up/rest"]
    assert all(isinstance(each, Artifact) for each in listed)
    assert await client.delete_artifact(run.id, "up/rest")
    assert not await client.delete_artifact(run.id, "up/rest")
    with pytest.raises(NotFoundError, match="no artifact"):
        await client.get_artifact(run.id, "up/rest")
    with pytest.raises(InvalidArgumentError):
        await client.put_artifact(run.id, "up/../../x", b"")
    with pytest.raises(NotFoundError):
        await client.put_artifact("00000000-0000-7000-8000-000000000000", "a", b"")


async def test_the_blocking_client_does_the_same(client: Client, tmp_path: Path) -> None:
    run = await client.create_run(KEEPING)

    def work() -> list[str]:
        with SyncClient(client.address) as blocking:
            blocking.put_artifact(run.id, "up", "text")
            assert blocking.get_artifact(run.id, "up") == b"text"
            blocking.download_artifact(run.id, "up", tmp_path / "down")
            keys = [each.key for each in blocking.artifacts(run.id, prefix="up")]
            assert blocking.delete_artifact(run.id, "up")
            return keys

    assert await asyncio.to_thread(work) == ["up"]
    assert (tmp_path / "down").read_text() == "text"


async def test_a_file_that_cannot_be_read_is_the_callers_error(client: Client, tmp_path: Path) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("the disk is gone")

        def seekable(self) -> bool:
            return False

    run = await client.create_run(KEEPING)
    with pytest.raises(OSError, match="the disk is gone"):
        await client.put_artifact(run.id, "broken", Broken())  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        await client.put_artifact(run.id, "broken", tmp_path / "no-such")
    assert [each.key async for each in client.artifacts(run.id, prefix="broken")] == []


def _wide_stage(number: int) -> Any:
    @stage(f"s{number}")
    def text(ctx: Context[NoInput]) -> str:
        return f"{number:03}" * 30_000

    return text


WIDE = Workflow("wide", input=NoInput).parallel(*[_wide_stage(number) for number in range(50)]).build()


async def test_a_run_that_is_too_large_for_an_answer_is_whole_all_the_same() -> None:
    async with LocalHost(WIDE) as host:
        result = await host.run_and_wait({})
        expected = {f"s{number}": f"{number:03}" * 30_000 for number in range(50)}
        assert result.output == expected
        assert {each.id: each.output for each in result.stages} == expected
        with pytest.raises(InvalidArgumentError):  # a refusal does not wait for what is still to be sent
            await host.client.put_artifact(result.run_id, "../x", b"x" * 40_000_000)
