"""`stageline run artifacts`: the bytes that a run keeps by name."""

from pathlib import Path

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_sdk import Artifact, Client


@click.group()
def artifacts() -> None:
    """List, get, put and delete the artifacts of a run."""


@artifacts.command(name="list")
@click.argument("run_id")
@click.option("--prefix", default="", help="Only keys that start with this.")
@click.option("--json", "as_json", is_flag=True, help="Print the artifacts as a JSON array.")
@target_options
def list_artifacts(run_id: str, prefix: str, as_json: bool, address: str | None, namespace: str) -> None:
    """Show the artifacts of a run.

    \b
    Examples:
      stageline run artifacts list 0192f0c1-...
      stageline run artifacts list 0192f0c1-... --prefix pages/ --json | jq .[].key
    """  # noqa: D301 - click reads the control character
    from rich.markup import escape

    from stageline_cli.output import artifact_as_json, moment, print_json, stdout, table

    async def read(client: Client) -> list[Artifact]:
        return [each async for each in client.artifacts(run_id, prefix=prefix)]

    found = speak(Target(address, namespace), read)
    if as_json:
        print_json([artifact_as_json(each) for each in found])
        return
    if not found:
        click.echo("No artifacts. Stages make them with ctx.storage.put(key, data)", err=True)
        return
    shown = table("KEY", "#BYTES", "TYPE", "STAGE", "AT")
    for each in found:
        shown.add_row(
            escape(each.key),
            f"{each.size_bytes:,}",
            escape(each.content_type),
            escape(each.stage_id),
            moment(each.created_at),
        )
    stdout().print(shown)


@artifacts.command()
@click.argument("run_id")
@click.argument("key")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. [default: the standard output]",
)
@target_options
def get(run_id: str, key: str, output: Path | None, address: str | None, namespace: str) -> None:
    """Write an artifact into a file, or to the standard output.

    \b
    Examples:
      stageline run artifacts get 0192f0c1-... report.pdf -o report.pdf
      stageline run artifacts get 0192f0c1-... notes/value.json | jq .
    """  # noqa: D301 - click reads the control character

    async def read(client: Client) -> bytes:
        if output is None:
            return await client.get_artifact(run_id, key)
        await client.download_artifact(run_id, key, output)
        return b""

    data = speak(Target(address, namespace), read)
    click.echo(data, nl=False)


@artifacts.command()
@click.argument("run_id")
@click.argument("key")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--type", "content_type", default="", help="Its media type. [default: application/octet-stream]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the artifact as JSON.")
@target_options
def put(
    run_id: str,
    key: str,
    file: Path,
    content_type: str,
    as_json: bool,
    address: str | None,
    namespace: str,
) -> None:
    """Store a file as an artifact of a run, in the place of what has the key.

    \b
    Examples:
      stageline run artifacts put 0192f0c1-... review/signed.pdf signed.pdf --type application/pdf
    """  # noqa: D301 - click reads the control character
    from stageline_cli.output import artifact_as_json, print_json

    async def store(client: Client) -> Artifact:
        return await client.put_artifact(run_id, key, file, content_type=content_type)

    stored = speak(Target(address, namespace), store)
    if as_json:
        print_json(artifact_as_json(stored))
    else:
        click.echo(f"stored {stored.key}: {stored.size_bytes:,} bytes, SHA-256 {stored.sha256}")


@artifacts.command()
@click.argument("run_id")
@click.argument("key")
@target_options
def delete(run_id: str, key: str, address: str | None, namespace: str) -> None:
    """Delete an artifact of a run. There being none is no error.

    \b
    Examples:
      stageline run artifacts delete 0192f0c1-... review/signed.pdf
    """  # noqa: D301 - click reads the control character

    async def remove(client: Client) -> bool:
        return await client.delete_artifact(run_id, key)

    deleted = speak(Target(address, namespace), remove)
    click.echo(f"deleted {key}" if deleted else f"there was no artifact {key}", err=not deleted)
