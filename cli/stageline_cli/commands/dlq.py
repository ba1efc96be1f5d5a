"""`stageline dlq`: events that a plugin gave up on."""

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_sdk import Client, DeadLetter


@click.group(context_settings={"max_content_width": 100})
def dlq() -> None:
    """List, replay and skip events that a plugin gave up on.

    Each holds up the later events of its run for that plugin, and nothing else, until it is replayed or skipped.
    """


@dlq.command("list")
@click.option("--plugin", default="", help="Only of this plugin. [default: any]")
@click.option("--json", "as_json", is_flag=True, help="Print them as a JSON array.")
@target_options
def list_(plugin: str, as_json: bool, address: str | None, namespace: str) -> None:
    """List events that were given up, by run.

    \b
    Examples:
      stageline dlq list
      stageline dlq list --json | jq -r .[].id
    """  # noqa: D301 - click reads the control character
    from rich.markup import escape

    from stageline_cli.output import dead_letter_as_json, moment, one_line, print_json, stdout, table

    async def read(client: Client) -> list[DeadLetter]:
        return [each async for each in client.list_dead_letters(plugin=plugin)]

    found = speak(Target(address, namespace), read)
    if as_json:
        print_json([dead_letter_as_json(each) for each in found])
        return
    if not found:
        click.echo("No dead letters: every event was delivered, or will be.", err=True)
        return
    shown = table("DEAD LETTER", "PLUGIN", "EVENT", "#TRIES", "SINCE", "LAST ERROR")
    for each in found:
        error = escape(one_line(each.last_error))
        names = (escape(each.id), escape(each.plugin), escape(each.event.type))
        shown.add_row(*names, str(each.attempts), moment(each.at), error)
    stdout().print(shown)


@dlq.command()
@click.argument("ids", nargs=-1)
@click.option("--plugin", default="", help="All dead letters of this plugin, instead of IDS.")
@click.option("--json", "as_json", is_flag=True, help="Print the count as JSON.")
@target_options
def replay(ids: tuple[str, ...], plugin: str, as_json: bool, address: str | None, namespace: str) -> None:
    """Have events tried again, and after them the later ones of their runs.

    \b
    Examples:
      stageline dlq replay pager.0192f0c1-....7
      stageline dlq replay --plugin pager
    """  # noqa: D301 - click reads the control character
    _take_up(ids, plugin, Target(address, namespace), skip=False, as_json=as_json)


@dlq.command()
@click.argument("ids", nargs=-1)
@click.option("--plugin", default="", help="All dead letters of this plugin, instead of IDS.")
@click.option("--json", "as_json", is_flag=True, help="Print the count as JSON.")
@target_options
def skip(ids: tuple[str, ...], plugin: str, as_json: bool, address: str | None, namespace: str) -> None:
    """Pass over events for good: the plugin is never told of them, and goes on with what comes after.

    \b
    Examples:
      stageline dlq skip pager.0192f0c1-....7
    """  # noqa: D301 - click reads the control character
    _take_up(ids, plugin, Target(address, namespace), skip=True, as_json=as_json)


def _take_up(ids: tuple[str, ...], plugin: str, target: Target, *, skip: bool, as_json: bool) -> None:
    from stageline_cli.output import print_json

    if bool(ids) == bool(plugin):
        raise click.UsageError("give the ids of dead letters, or --plugin")

    async def again(client: Client) -> int:
        return await client.replay_dead_letters(ids, plugin=plugin, skip=skip)

    count = speak(target, again)
    if as_json:
        print_json({"skipped_count" if skip else "replayed_count": count})
    else:
        click.echo(f"{count} skipped" if skip else f"{count} will be delivered again")
