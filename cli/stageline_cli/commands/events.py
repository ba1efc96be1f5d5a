"""`stageline events`: what could not be delivered."""

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_sdk import Client, DeadLetter


@click.group(context_settings={"max_content_width": 100})
def events() -> None:
    """List and replay events that could not be delivered to a sink."""


@events.command("dead-letters")
@click.option("--plugin", default="", help="Only of this plugin. [default: any]")
@click.option("--json", "as_json", is_flag=True, help="Print them as a JSON array.")
@target_options
def dead_letters(plugin: str, as_json: bool, address: str | None, namespace: str) -> None:
    """List events that were given up. Each holds up the later events of its run until it is replayed.

    \b
    Examples:
      stageline events dead-letters
      stageline events dead-letters --json | jq -r .[].id
    """  # noqa: D301 - click reads the control character
    from rich.markup import escape

    from stageline_cli.output import dead_letter_as_json, one_line, print_json, stdout, table

    async def read(client: Client) -> list[DeadLetter]:
        return [each async for each in client.list_dead_letters(plugin=plugin)]

    found = speak(Target(address, namespace), read)
    if as_json:
        print_json([dead_letter_as_json(each) for each in found])
        return
    if not found:
        click.echo("No dead letters: every event was delivered, or will be.", err=True)
        return
    shown = table("DEAD LETTER", "EVENT", "PLUGIN", "#TRIES", "LAST ERROR")
    for each in found:
        error = escape(one_line(each.last_error))
        shown.add_row(each.id, escape(each.event.type), escape(each.plugin), str(each.attempts), error)
    stdout().print(shown)


@events.command()
@click.argument("ids", nargs=-1)
@click.option("--plugin", default="", help="All dead letters of this plugin, instead of IDS.")
@click.option("--json", "as_json", is_flag=True, help="Print the count as JSON.")
@target_options
def replay(ids: tuple[str, ...], plugin: str, as_json: bool, address: str | None, namespace: str) -> None:
    """Have events delivered again: those of IDS, or all of a plugin.

    \b
    Examples:
      stageline events replay 0192f0c1-....7
      stageline events replay --plugin sink
    """  # noqa: D301 - click reads the control character
    from stageline_cli.output import print_json

    if bool(ids) == bool(plugin):
        raise click.UsageError("give the ids of dead letters, or --plugin")

    async def again(client: Client) -> int:
        return await client.replay_dead_letters(ids, plugin=plugin)

    count = speak(Target(address, namespace), again)
    if as_json:
        print_json({"replayed_count": count})
    else:
        click.echo(f"{count} will be delivered again")
