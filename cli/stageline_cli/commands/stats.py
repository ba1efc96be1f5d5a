"""`stageline stats`: what a namespace holds."""

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_sdk import Client, Stats


@click.command(context_settings={"max_content_width": 100})
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@target_options
def stats(as_json: bool, address: str | None, namespace: str) -> None:
    """Count what a namespace holds.

    Runs by state, jobs, workers, and events that wait to be delivered.

    \b
    Examples:
      stageline stats
      stageline stats --json | jq '.ready_jobs'
    """  # noqa: D301 - click reads the control character
    from stageline_cli.output import print_json, stdout, table, to_plain

    async def read(client: Client) -> Stats:
        return await client.stats()

    counted = speak(Target(address, namespace), read)
    if as_json:
        print_json(to_plain(counted))
        return
    shown = table("WHAT", "#COUNT", "REMARK")
    for state, count in sorted(counted.runs.items()):
        shown.add_row(f"runs {state}", str(count), "")
    waited = f"the oldest for {counted.oldest_ready_age}" if counted.ready_jobs else ""
    shown.add_row("jobs ready", str(counted.ready_jobs), waited)
    shown.add_row("jobs leased", str(counted.leased_jobs), f"of {counted.slots} slots")
    shown.add_row("jobs delayed", str(counted.delayed_jobs), "")
    shown.add_row("workers", str(counted.sessions), "see stageline workers list")
    shown.add_row("events undelivered", str(counted.undelivered_events), "")
    shown.add_row(
        "dead letters", str(counted.dead_letters), "see stageline dlq list" if counted.dead_letters else ""
    )
    stdout().print(shown)
