"""`stageline maintenance`: by hand what a server does by its timers."""

from dataclasses import fields

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_sdk import Client, MaintenanceTick

TICKS_MAX = 10_000


@click.group(context_settings={"max_content_width": 100})
def maintenance() -> None:
    """Do by hand what a server does by its timers."""


@maintenance.command()
@click.option("--until-done", is_flag=True, help="Go on until nothing is left to do at once.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@target_options
def tick(until_done: bool, as_json: bool, address: str | None, namespace: str) -> None:
    """Take back stale leases, start what is due, give events to plugins, forget what is past keeping.

    One bounded pass over all of it, for all namespaces. Safe from cron, and from several places at once.

    \b
    Examples:
      stageline maintenance tick --until-done
      stageline maintenance tick --json | jq .more
    """  # noqa: D301 - click reads the control character
    from stageline_cli.output import print_json, to_plain

    async def ticks(client: Client) -> MaintenanceTick:
        done = await client.maintenance_tick()
        for _ in range(TICKS_MAX):
            if not until_done or not done.more:
                break
            done = _sum(done, await client.maintenance_tick())
        return done

    done = speak(Target(address, namespace), ticks)
    if as_json:
        print_json(to_plain(done))
        return
    counts = {field.name: getattr(done, field.name) for field in fields(done) if field.name != "more"}
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    click.echo(said or "nothing to do")
    if done.more:
        click.echo("There is more to do: stageline maintenance tick --until-done", err=True)


def _sum(one: MaintenanceTick, other: MaintenanceTick) -> MaintenanceTick:
    """What both did; whether there is more is for the later one to say."""
    counts = {
        field.name: getattr(one, field.name) + getattr(other, field.name)
        for field in fields(one)
        if field.name != "more"
    }
    return MaintenanceTick(**counts, more=other.more)
