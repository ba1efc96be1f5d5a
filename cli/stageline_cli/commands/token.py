"""`stageline token`: who may call."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_cli.durations import duration_of
from stageline_sdk import AccessToken, Client, NewToken, TokenScope

ALL_NAMESPACES = "*"


def _place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which tokens are meant, and where they are."""
    for option in (
        click.option(
            "--database",
            is_flag=True,
            help="Write to the database of STAGELINE_DATABASE_URL instead of asking a server: on the server's host, for "
            "the first token.",
        ),
        click.option("--all-namespaces", is_flag=True, help="Tokens that look after the whole deployment."),
    ):
        command = option(command)
    return target_options(command)


@click.group(context_settings={"max_content_width": 100})
def token() -> None:
    """Make, list and revoke the tokens by which callers show who they are."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in TokenScope]),
    help="What it is for; may be given several times.",
)
@click.option(
    "--workflow",
    "workflows",
    multiple=True,
    help="For workers: serve this one only; may be given several times.",
)
@click.option(
    "--expires",
    type=duration_of,
    metavar="DURATION",
    help="How long it is good, such as 12h or 90d. [default: for ever]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the token and its secret as JSON.")
@_place_options
def create(  # noqa: PLR0913, PLR0917 - one for each option
    name: str,
    scopes: tuple[str, ...],
    workflows: tuple[str, ...],
    expires: timedelta | None,
    as_json: bool,
    address: str | None,
    namespace: str,
    all_namespaces: bool,
    database: bool,
) -> None:
    """Make a token called NAME, for people. Its secret is printed once; the server keeps only a hash of it.

    \b
    Examples:
      stageline token create --database --all-namespaces --scope admin operator      # the first one, on the host
      export STAGELINE_TOKEN=$(stageline token create --scope client --expires 90d ci)
      stageline token create --namespace acme --scope worker --workflow documents documents-workers
    """  # noqa: D301 - click reads the control character
    from stageline_cli.output import moment, print_json, token_as_json

    where = ALL_NAMESPACES if all_namespaces else namespace

    async def make(client: Client) -> NewToken:
        return await client.create_token(name, scopes, workflows=workflows, expire_after=expires)

    if database:
        from stageline_cli.host_tokens import create_here

        made = create_here(where, name, scopes, workflows, expires)
    else:
        made = speak(Target(address, where), make)
    if as_json:
        print_json({**token_as_json(made.token), "secret": made.secret})
        return
    click.echo(made.secret)
    until = f"until {moment(made.token.expires_at)}" if made.token.expires_at else "until it is revoked"
    click.echo(f"Token {made.token.id}, good {until}. It is not shown again.", err=True)


@token.command("list")
@click.option("--all", "include_ended", is_flag=True, help="Also those that have expired or were revoked.")
@click.option("--json", "as_json", is_flag=True, help="Print the tokens as a JSON array.")
@_place_options
def list_(
    include_ended: bool,
    as_json: bool,
    address: str | None,
    namespace: str,
    all_namespaces: bool,
    database: bool,
) -> None:
    """List tokens, the oldest first; never their secrets."""
    from rich.markup import escape

    from stageline_cli.output import moment, print_json, stdout, table, token_as_json

    where = ALL_NAMESPACES if all_namespaces else namespace

    async def read(client: Client) -> list[AccessToken]:
        return [each async for each in client.list_tokens(include_ended=include_ended)]

    if database:
        from stageline_cli.host_tokens import list_here

        found = list_here(where, include_ended=include_ended)
    else:
        found = speak(Target(address, where), read)
    if as_json:
        print_json([token_as_json(each) for each in found])
        return
    if not found:
        click.echo("No tokens. Make one: stageline token create --scope client NAME", err=True)
        return
    shown = table("TOKEN", "NAME", "SCOPES", "WORKFLOWS", "MADE", "GOOD UNTIL")
    for each in found:
        ended = f"revoked {moment(each.revoked_at)}" if each.revoked_at else ""
        until = ended or (moment(each.expires_at) if each.expires_at else "for ever")
        scopes, workflows = ", ".join(each.scopes), ", ".join(each.workflows)
        shown.add_row(each.id, escape(each.name), scopes, workflows or "all", moment(each.created_at), until)
    stdout().print(shown)


@token.command()
@click.argument("token_id")
@click.option("--json", "as_json", is_flag=True, help="Print the token as JSON.")
@_place_options
def revoke(
    token_id: str, as_json: bool, address: str | None, namespace: str, all_namespaces: bool, database: bool
) -> None:
    """Take the token TOKEN_ID back: calls by it are refused, and streams that live by it end within seconds."""
    from stageline_cli.output import print_json, token_as_json

    where = ALL_NAMESPACES if all_namespaces else namespace

    async def take_back(client: Client) -> AccessToken:
        return await client.revoke_token(token_id)

    if database:
        from stageline_cli.host_tokens import revoke_here

        gone = revoke_here(where, token_id)
    else:
        gone = speak(Target(address, where), take_back)
    if as_json:
        print_json(token_as_json(gone))
    else:
        click.echo(f"Token {gone.id} ({gone.name}) is revoked")
