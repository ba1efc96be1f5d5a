"""`stageline token`: by the database of the host, and by a server."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from stageline_cli.exit_codes import ExitCode
from stageline_cli.group import stageline
from stageline_migrations import upgrade
from stageline_server.settings import Settings
from stageline_server.stores import postgres_ports
from tests.integration.auth.serving import asking
from tests.support.fixtures import CreateDatabase

Run = Callable[..., Awaitable[Result]]


@pytest.fixture(autouse=True)
def _same_logging_afterwards() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


async def run(*arguments: str, **environment: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200", **environment})
    return await asyncio.to_thread(runner.invoke, stageline, ["token", *arguments])


async def test_the_first_token_is_made_on_the_host_and_makes_the_others(
    create_database: CreateDatabase,
) -> None:
    url = create_database(upgrade)
    first = await run(
        *("create", "--database", "--scope", "admin", "--all-namespaces", "operator"),
        STAGELINE_DATABASE_URL=url,
    )
    assert first.exit_code == ExitCode.OK, first.output
    [secret] = first.stdout.split()
    assert "It is not shown again" in first.stderr
    async with postgres_ports(Settings(), url) as ports, asking(ports) as server:
        here = {"STAGELINE_ADDRESS": server.application.address, "STAGELINE_TOKEN": secret}
        made = await run(
            *("create", "--namespace", "acme", "--scope", "worker", "--workflow", "one", "--expires", "12h"),
            *("--json", "acme-workers"),
            **here,
        )
        assert made.exit_code == ExitCode.OK, made.output
        told = json.loads(made.stdout)
        assert (told["namespace"], told["scopes"], told["workflows"]) == ("acme", ["worker"], ["one"])
        assert told["secret"].startswith("stl_")
        listed = await run("list", "--namespace", "acme", **here)
        assert "acme-workers" in listed.stdout
        assert told["secret"] not in listed.stdout
        denied = await run("list", **{**here, "STAGELINE_TOKEN": told["secret"]})
        assert denied.exit_code == ExitCode.REFUSED
        assert "This needs a token of scope admin" in denied.stderr
        revoked = await run("revoke", "--namespace", "acme", told["id"], **here)
        assert revoked.exit_code == ExitCode.OK
        gone = await run("list", **{**here, "STAGELINE_TOKEN": told["secret"]})
        assert "was revoked" in gone.stderr
        ended = await run("list", "--namespace", "acme", "--all", "--json", **here)
        assert [each["revoked_at"] is not None for each in json.loads(ended.stdout)] == [True]
        unknown = await run("revoke", "--namespace", "default", told["id"], **here)
        assert (unknown.exit_code, "There is no token" in unknown.stderr) == (ExitCode.REFUSED, True)


async def test_tokens_of_the_host_are_listed_and_revoked_there(create_database: CreateDatabase) -> None:
    here = {"STAGELINE_DATABASE_URL": create_database(upgrade)}
    made = json.loads((await run("create", "--database", "--scope", "client", "--json", "ci", **here)).stdout)
    listed = await run("list", "--database", "--json", **here)
    assert [each["name"] for each in json.loads(listed.stdout)] == ["ci"]
    assert (await run("revoke", "--database", made["id"], **here)).exit_code == ExitCode.OK
    assert json.loads((await run("list", "--database", "--json", **here)).stdout) == []
    again = await run("revoke", "--database", "--namespace", "acme", made["id"], **here)
    assert again.exit_code == ExitCode.REFUSED
    malformed = await run("revoke", "--database", "x", **here)
    assert malformed.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "--database", "--scope", "client", "x" * 129), "must have 1 to 128 characters"),
        (("create", "--database", "--all-namespaces", "--scope", "worker", "x"), "must be ADMIN alone"),
        (("create", "--scope", "king", "x"), "Invalid value for '--scope'"),
        (("create", "--scope", "client", "--expires", "soon", "x"), "'soon' is no duration"),
    ],
)
async def test_what_cannot_be_made_is_told(
    create_database: CreateDatabase, arguments: tuple[str, ...], message: str
) -> None:
    result = await run(*arguments, STAGELINE_DATABASE_URL=create_database(upgrade))
    assert result.exit_code == ExitCode.USAGE
    assert message in result.stderr


async def test_without_a_database_it_says_how_to_name_one() -> None:
    result = await run("list", "--database", STAGELINE_DATABASE_URL="")
    assert result.exit_code == ExitCode.USAGE
    assert "needs STAGELINE_DATABASE_URL" in result.stderr
