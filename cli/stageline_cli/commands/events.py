"""`stageline events`: the events of all runs."""

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_sdk import Client


@click.group(context_settings={"max_content_width": 100})
def events() -> None:
    """Follow the events of all runs."""


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
