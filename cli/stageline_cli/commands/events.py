"""`stageline events`: the events of all runs, and what could not be delivered."""

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_sdk import Client, DeadLetter


@click.group(context_settings={"max_content_width": 100})
def events() -> None:
    """Follow the events of all runs; list and replay what could not be delivered."""


@events.command()
@click.option(
    "--type", "types", multiple=True, help="Only this type, or 'stage:*'; may be repeated. [default: all]"
)
@click.option("--workflow", "workflow_name", default="", help="Only of this workflow.")
@click.option("--cursor", help="Resume after this cursor, in base64, as --json prints it.")
@click.option(
    "--from-start", is_flag=True, help="Begin with the oldest that is kept. [default: with what comes]"
)
@click.option("--json", "as_json", is_flag=True, help="Print batches as lines of JSON, each with its cursor.")
@target_options
def stream(
    types: tuple[str, ...],
    workflow_name: str,
    cursor: str | None,
    from_start: bool,
    as_json: bool,
    address: str | None,
    namespace: str,
) -> None:
    """Follow the events of all runs, until Ctrl-C.

    \b
    Examples:
      stageline events stream --type 'workflow:*'
      stageline events stream --from-start --json >> events.jsonl
    """  # noqa: D301 - click reads the control character
    import base64
    import binascii

    from stageline_cli.output import print_json_line, to_plain

    if cursor and from_start:
        raise click.UsageError("give --cursor or --from-start")
    try:
        resume_from = base64.b64decode(cursor or "", validate=True)
    except binascii.Error:
        raise click.UsageError("--cursor must be base64, as --json prints it") from None

    async def follow(client: Client) -> None:
        batches = client.stream_events(
            cursor=resume_from,
            from_now=not cursor and not from_start,
            types=types,
            workflow_name=workflow_name,
        )
        async for batch in batches:
            if as_json:
                print_json_line(to_plain(batch))
                continue
            for event in batch.events:
                at = event.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
                click.echo(
                    f"{at}  {event.run_id}  {event.sequence:>4}  {event.type}  {event.stage_id}".rstrip()
                )

    speak(Target(address, namespace), follow)


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
