"""`stageline workflow`: what is registered."""

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_sdk import Client, RegisteredWorkflow


@click.group(context_settings={"max_content_width": 100})
def workflow() -> None:
    """List and show registered workflows. Workers register what they serve when they connect."""


@workflow.command("list")
@click.option("--name", default="", help="Every version of this workflow, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print the workflows as a JSON array.")
@target_options
def list_(name: str, as_json: bool, address: str | None, namespace: str) -> None:
    """List the latest version of each workflow."""
    from stageline_cli.output import moment, print_json, stdout, table, workflow_as_json

    async def read(client: Client) -> list[RegisteredWorkflow]:
        return [each async for each in client.list_workflows(name)]

    found = speak(Target(address, namespace), read)
    if as_json:
        print_json([workflow_as_json(each) for each in found])
        return
    if not found:
        click.echo(
            "No workflows. A worker registers what it serves: stageline worker module:attribute", err=True
        )
        return
    shown = table("WORKFLOW", "#VERSION", "#STAGES", "REGISTERED", "TITLE")
    for each in found:
        shown.add_row(
            each.name, str(each.version), str(len(each.stages)), moment(each.created_at), each.title
        )
    stdout().print(shown)


@workflow.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="The version. [default: the latest]")
@click.option("--json", "as_json", is_flag=True, help="Print the workflow, schemas included, as JSON.")
@target_options
def show(name: str, version: int | None, as_json: bool, address: str | None, namespace: str) -> None:
    """Show a workflow: its stages, what input it takes, what config each stage takes.

    \b
    Examples:
      stageline workflow show document-processor
      stageline workflow show document-processor --json | jq .input_schema
    """  # noqa: D301 - click reads the control character
    from rich.markup import escape

    from stageline_cli.output import stdout, table, workflow_as_json
    from stageline_cli.schemas import fields_of

    found = speak(Target(address, namespace), lambda client: client.get_workflow(name, version or 0))
    if as_json:
        from stageline_cli.output import print_json

        print_json(workflow_as_json(found))
        return
    console = stdout()
    console.print(f"[bold]{escape(found.name)}[/] version {found.version}  {escape(found.title)}")
    if found.description:
        console.print(escape(found.description))
    console.print(f"input   {escape(fields_of(found.input_schema))}")
    stages = table("GROUP", "STAGE", "MODE", "CONFIG")
    for stage in found.stages:
        config = fields_of(stage.config_schema, stage.default_config)
        stages.add_row(str(stage.group), escape(stage.id), stage.mode, escape(config))
    console.print(stages)
