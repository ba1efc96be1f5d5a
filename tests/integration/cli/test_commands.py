"""The commands, against a real server in memory and a worker."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stageline_cli.exit_codes import ExitCode
from stageline_cli.group import stageline
from stageline_sdk import Client, Context, NonRetryableError, Worker, Workflow, stage
from stageline_server.stores import memory_ports
from tests.integration.server.running import Server, running
from tests.integration.server.test_upkeep import give_up
from tests.waiting import eventually

Run = Callable[..., Awaitable[Result]]


@stage("greet")
def greet(ctx: Context[dict[str, str]]) -> str:
    ctx.log.info("greeting", name=ctx.input["name"])
    if ctx.input["name"] == "nobody":
        raise NonRetryableError("there is nobody")
    return f"Hello, {ctx.input['name']}"


HELLO = Workflow("hello", input=dict[str, str], title="Greets").pipe(greet).build()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on this loop."""
    async with running(memory_ports()) as started:
        yield started


@pytest.fixture
async def cli(server: Server) -> AsyncIterator[Run]:
    """Runs commands; the server lives on this loop, so each command runs in a thread."""
    address = server.application.address
    worker = Worker(HELLO)
    serving = asyncio.create_task(worker.run(address))
    async with Client(address) as client:
        await eventually(lambda: _is_registered(client), what="the workflow")

    async def run(*arguments: str, stdin: str | None = None) -> Result:
        runner = CliRunner(env={"STAGELINE_ADDRESS": address, "COLUMNS": "200"})
        return await asyncio.to_thread(runner.invoke, stageline, arguments, input=stdin)

    yield run
    worker.stop(timedelta(0))
    with suppress(Exception):
        await serving


async def _is_registered(client: Client) -> bool:
    return [each.name async for each in client.list_workflows()] == ["hello"]


async def test_starting_prints_the_id_alone(cli: Run) -> None:
    result = await cli("run", "start", "hello", "--input", '{"name": "Ada"}')
    assert result.exit_code == ExitCode.OK
    assert len(result.stdout.split()) == 1
    assert f"stageline run watch {result.stdout.strip()}" in result.stderr


async def test_waiting_shows_events_and_prints_the_output(cli: Run) -> None:
    result = await cli("run", "start", "hello", "--input", '{"name": "Ada"}', "--wait")
    assert result.exit_code == ExitCode.OK
    assert json.loads(result.stdout) == "Hello, Ada"
    for words in ("workflow:created", "stage:started  greet", "stage:completed  greet", "workflow:completed"):
        assert words in result.stderr


async def test_waiting_for_a_run_that_fails(cli: Run) -> None:
    result = await cli("run", "start", "hello", "--input", '{"name": "nobody"}', "--wait")
    assert result.exit_code == ExitCode.RUN_FAILED
    assert result.stdout == ""
    assert "there is nobody" in result.stderr.splitlines()[-2]
    assert "stageline run logs" in result.stderr.splitlines()[-1]


async def test_programs_get_json(cli: Run) -> None:
    result = await cli("run", "start", "hello", "--input", '{"name": "Ada"}', "--wait", "--json")
    run = json.loads(result.stdout)
    assert (run["status"], run["output"], run["input"]) == ("COMPLETED", "Hello, Ada", {"name": "Ada"})
    assert run["stages"][0]["id"] == "greet"
    assert run["duration_seconds"] > 0
    events = await cli("run", "watch", run["id"], "--json")
    kinds = [json.loads(line)["type"] for line in events.stdout.splitlines()]
    assert (kinds[0], kinds[-1]) == ("workflow:created", "workflow:completed")
    listed = json.loads((await cli("run", "list", "--json")).stdout)
    assert [each["id"] for each in listed] == [run["id"]]
    got = json.loads((await cli("run", "get", run["id"], "--json")).stdout)
    assert got["output"] == "Hello, Ada"


async def test_people_get_tables(cli: Run) -> None:
    run_id = (
        await cli("run", "start", "hello", "--input", "-", "--wait", "--json", stdin='{"name": "Ada"}')
    ).stdout
    run_id = json.loads(run_id)["id"]
    listed = (await cli("run", "list", "--status", "completed")).stdout
    assert run_id in listed
    assert "hello v1" in listed
    shown = (await cli("run", "get", run_id)).stdout
    assert "COMPLETED" in shown
    assert '"Hello, Ada"' in shown
    assert "Greets" in (await cli("workflow", "list")).stdout
    assert "greet" in (await cli("workflow", "show", "hello")).stdout


async def test_logs(cli: Run) -> None:
    run_id = json.loads(
        (await cli("run", "start", "hello", "--input", '{"name": "Ada"}', "--wait", "--json")).stdout
    )["id"]

    async def logged() -> str:
        return (await cli("run", "logs", run_id)).stdout

    assert "INFO     greet  greeting  name=Ada" in await eventually(logged, what="the log")
    line = json.loads((await cli("run", "logs", run_id, "--json")).stdout)
    assert (line["level"], line["fields"]) == ("INFO", {"name": "Ada"})
    assert (await cli("run", "logs", run_id, "--level", "ERROR")).stdout == ""


async def test_an_empty_list_says_what_to_do(cli: Run) -> None:
    result = await cli("run", "list")
    assert (result.exit_code, result.stdout) == (ExitCode.OK, "")
    assert "stageline run start" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("run", "start", "nothing"), ExitCode.REFUSED, "stageline workflow list"),
        (("run", "start", "hello", "--input", "[1]"), ExitCode.REFUSED, "stageline workflow show"),
        (("run", "start", "hello", "--input", "{"), ExitCode.USAGE, "is no JSON"),
        (("run", "start", "hello", "--address", "nowhere"), ExitCode.USAGE, "has no port"),
        (("run", "list", "--address", "127.0.0.1:1"), ExitCode.UNREACHABLE, "stageline dev"),
        (("run", "get", "no-run"), ExitCode.REFUSED, ""),
        (("run", "get", "01a20401-0e76-76cb-b4d3-18c0d2a0037e"), ExitCode.REFUSED, "stageline run list"),
        (("workflow", "show", "nothing"), ExitCode.REFUSED, "stageline workflow list"),
    ],
)
async def test_refusals_say_what_to_do_next(
    cli: Run, arguments: tuple[str, ...], exit_code: ExitCode, words: str
) -> None:
    result = await cli(*arguments)
    assert result.exit_code == exit_code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


async def test_cancelling(cli: Run) -> None:
    run_id = json.loads(
        (await cli("run", "start", "hello", "--input", '{"name": "Ada"}', "--wait", "--json")).stdout
    )["id"]
    refused = await cli("run", "cancel", run_id)
    assert refused.exit_code == ExitCode.REFUSED
    assert "COMPLETED" in refused.stderr


async def test_every_command_has_help(cli: Run) -> None:
    for command in (
        ("run",),
        ("workflow",),
        ("worker",),
        ("events",),
        ("dlq",),
        ("maintenance",),
        ("stats",),
        ("run", "artifacts"),
        ("run", "start"),
        ("run", "watch"),
        ("workflow", "show"),
    ):
        result = await cli(*command, "--help")
        assert result.exit_code == ExitCode.OK
        assert "Usage:" in result.stdout
        assert "\b" not in result.stdout


async def test_what_a_namespace_holds_is_counted(cli: Run) -> None:
    await cli("run", "start", "hello", "--input", '{"name": "Ada"}', "--wait")
    counted = json.loads((await cli("stats", "--json")).stdout)
    assert (counted["runs"], counted["ready_jobs"], counted["sessions"]) == ({"COMPLETED": 1}, 0, 1)
    shown = [line.split() for line in (await cli("stats")).stdout.splitlines()]
    assert ["runs", "COMPLETED", "1"] in shown


async def test_artifacts_are_put_listed_got_and_deleted(cli: Run, tmp_path: Path) -> None:
    run_id = (await cli("run", "start", "hello", "--input", '{"name": "Ada"}')).stdout.strip()
    (tmp_path / "up").write_bytes(b"\x00some bytes")
    nothing = await cli("run", "artifacts", "list", run_id)
    assert "ctx.storage.put" in nothing.stderr
    put = await cli("run", "artifacts", "put", run_id, "a/b.bin", str(tmp_path / "up"), "--json")
    assert json.loads(put.stdout)["size_bytes"] == 11
    listed = await cli("run", "artifacts", "list", run_id, "--json", "--prefix", "a/")
    assert [each["key"] for each in json.loads(listed.stdout)] == ["a/b.bin"]
    shown = await cli("run", "artifacts", "list", run_id)
    assert "a/b.bin" in shown.stdout
    assert (await cli("run", "artifacts", "get", run_id, "a/b.bin")).stdout_bytes == b"\x00some bytes"
    written = await cli("run", "artifacts", "get", run_id, "a/b.bin", "-o", str(tmp_path / "down"))
    assert written.exit_code == ExitCode.OK
    assert (tmp_path / "down").read_bytes() == b"\x00some bytes"
    assert "deleted" in (await cli("run", "artifacts", "delete", run_id, "a/b.bin")).stdout
    assert "no artifact" in (await cli("run", "artifacts", "delete", run_id, "a/b.bin")).stderr
    missing = await cli("run", "artifacts", "get", run_id, "a/b.bin")
    assert missing.exit_code == ExitCode.REFUSED
    hostile = await cli("run", "artifacts", "put", run_id, "../b", str(tmp_path / "up"))
    assert hostile.exit_code == ExitCode.REFUSED


async def test_a_run_can_be_started_later(cli: Run) -> None:
    for option, value in (("--delay", "12h"), ("--start-at", "2999-01-01")):
        started = await cli("run", "start", "hello", "--input", '{"name": "Ada"}', option, value)
        if option == "--start-at":
            assert "366 days" in started.stderr
            continue
        shown = await cli("run", "get", started.stdout.strip())
        assert "PENDING" in shown.stdout
        assert "starts    " in shown.stdout
    both = await cli("run", "start", "hello", "--delay", "1h", "--start-at", "2026-08-01T09:00Z")
    assert both.exit_code == ExitCode.USAGE
    odd = await cli("run", "start", "hello", "--start-at", "tomorrow")
    assert "2026-08-01T09:00" in odd.stderr


async def test_notes_are_filtered_by_who_when_and_about_what(cli: Run) -> None:
    started = await cli("run", "start", "hello", "--input", '{"name": "Ada"}', "--delay", "1h")
    run_id = started.stdout.strip()
    for value, by, scope in (("1", "human:jane", "run"), ("2", "agent:judge", "page")):
        assert (
            await cli("run", "annotate", run_id, "mark", value, "--by", by, "--scope", scope)
        ).exit_code == 0

    async def found(*filters: str) -> list[int]:
        return [note["value"] for note in json.loads((await cli(*command, *filters)).stdout)]

    command = ("run", "annotations", run_id, "--json")
    assert await found() == [1, 2]
    assert await found("--actor-kind", "human") == [1]
    assert await found("--actor-id", "judge") == [2]
    assert await found("--scope", "page") == [2]
    assert await found("--since", "2999-01-01") == []
    assert await found("--until", "2999-01-01T00:00Z") == [1, 2]
    assert await found("--until", "2001-01-01") == []
    assert await found("--generation", "1") == []
    assert await found("--scope-id", "x") == []


async def test_dead_letters_are_shown_with_their_plugin(cli: Run, server: Server) -> None:
    await cli("run", "start", "hello", "--input", '{"name": "Ada"}', "--delay", "1h")
    await give_up(server)
    shown = await cli("dlq", "list")
    assert "PLUGIN" in shown.stdout
    assert "sink" in shown.stdout.split()
