"""`stageline workers`: who is connected."""

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_sdk import Client, WorkerSession


@click.group(context_settings={"max_content_width": 100})
def workers() -> None:
    """List the workers that are connected."""


@workers.command("list")
@click.option(
    "--ended", is_flag=True, help="Also those whose sessions have ended, in the last seven days, and why."
)
@click.option("--json", "as_json", is_flag=True, help="Print the workers as a JSON array.")
@target_options
def list_(ended: bool, as_json: bool, address: str | None, namespace: str) -> None:
    """List the workers that are connected, by name; of one that has lost its stream, why.

    \b
    Examples:
      stageline workers list
      stageline workers list --ended
      stageline workers list --json | jq 'map(.held_jobs) | add'
    """  # noqa: D301 - click reads the control character
    from rich.markup import escape

    from stageline_cli.output import moment, print_json, stdout, table, worker_as_json

    async def read(client: Client) -> list[WorkerSession]:
        return [each async for each in client.list_workers(include_ended=ended)]

    found = speak(Target(address, namespace), read)
    if as_json:
        print_json([worker_as_json(each) for each in found])
        return
    if not found:
        click.echo("No workers. Start one: stageline worker module:attribute", err=True)
        return
    shown = table("WORKER", "#JOBS", "#SLOTS", "STATE", "CONNECTED", "SDK")
    for each in found:
        shown.add_row(
            escape(each.name),
            str(each.held_jobs),
            str(each.slots),
            _state(each),
            moment(each.connected_at),
            escape(each.sdk),
        )
    stdout().print(shown)


def _state(worker: WorkerSession) -> str:
    """Returns where a worker stands: ended, between two streams, or connected."""
    if worker.ended_at is not None:
        before = f" after {worker.disconnect_reason}" if worker.disconnect_reason else ""
        return f"ended: {worker.end_reason}{before}"
    if worker.disconnect_reason:
        return f"away: {worker.disconnect_reason}"
    return "draining" if worker.draining else "ready"
