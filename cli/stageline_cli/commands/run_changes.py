"""`stageline run rerun`, `resume`, `annotate` and `annotations`: what happens to a run after its start."""

from datetime import datetime
from typing import Any

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_cli.durations import moment_of
from stageline_cli.json_arguments import JsonType
from stageline_sdk import Annotation, Client, Run


@click.command()
@click.argument("run_id")
@click.option("--from", "from_stage", default="", help="The stage to begin at. [default: the first group]")
@click.option("--reason", default="", help="Why, for people.")
@click.option(
    "--config", type=JsonType(is_object=True), help="New config by stage id, in place of the run's."
)
@click.option("--request-id", help="Makes a repetition safe: the same id reruns once only.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
@target_options
def rerun(
    run_id: str,
    from_stage: str,
    reason: str,
    config: dict[str, Any] | None,
    request_id: str | None,
    as_json: bool,
    address: str | None,
    namespace: str,
) -> None:
    """Run an ended run again, from the group of a stage on. Outputs of the groups before are kept.

    \b
    Examples:
      stageline run rerun 0192f0c1-...
      stageline run rerun 0192f0c1-... --from aggregate --reason "a better prompt"
      stageline run rerun 0192f0c1-... --from summarise --config '{"summarise": {"max_words": 50}}'
    """  # noqa: D301 - click reads the control character

    async def again(client: Client) -> Run:
        return await client.rerun_run(run_id, from_stage, reason=reason, config=config, request_id=request_id)

    _tell(speak(Target(address, namespace), again), as_json=as_json)


@click.command()
@click.argument("run_id")
@click.argument("stage_id")
@click.option(
    "--token",
    required=True,
    envvar="STAGELINE_RESUME_TOKEN",
    help="What the stage gave away. [env: STAGELINE_RESUME_TOKEN]",
)
@click.option("--output", type=JsonType(), help="The stage is completed with this output.")
@click.option("--fail", "failure", default="", metavar="WHY", help="The stage has failed, and this is why.")
@click.option(
    "--retry", is_flag=True, help="With --fail: let the stage's retry policy decide. [default: final]"
)
@click.option("--check-now", is_flag=True, help="Have the stage's check look now; the token stays good.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
@target_options
@click.pass_context
def resume(  # noqa: PLR0913, PLR0917 - one parameter for each option
    context: click.Context,
    run_id: str,
    stage_id: str,
    token: str,
    output: Any,
    failure: str,
    retry: bool,
    check_now: bool,
    as_json: bool,
    address: str | None,
    namespace: str,
) -> None:
    """End the wait of a suspended stage, by the token that it gave away.

    \b
    Examples:
      stageline run resume 0192f0c1-... approve --token TOKEN --output '{"approved": true}'
      stageline run resume 0192f0c1-... approve --token TOKEN --fail "no budget"
      stageline run resume 0192f0c1-... batch --token TOKEN --check-now
    """  # noqa: D301 - click reads the control character
    has_output = context.get_parameter_source("output") is click.core.ParameterSource.COMMANDLINE
    if has_output + bool(failure) + check_now != 1:
        raise click.UsageError("give exactly one of --output, --fail and --check-now")
    if retry and not failure:
        raise click.UsageError("--retry goes with --fail")
    outcome: dict[str, Any] = {"failure": failure, "retry": retry, "check_now": check_now}
    if has_output:
        outcome["output"] = output

    async def end_wait(client: Client) -> Run:
        return await client.resume_stage(run_id, stage_id, token, **outcome)

    _tell(speak(Target(address, namespace), end_wait), as_json=as_json)


@click.command()
@click.argument("run_id")
@click.argument("key")
@click.argument("value")
@click.option("--details", type=JsonType(is_object=True), help="More about it, as a JSON object.")
@click.option("--by", "actor", default="", help="Who says it, such as user:jane. [default: unsaid]")
@click.option("--scope", default="", help="What it is about. [default: run]")
@click.option("--scope-id", default="", help="Names that thing.")
@click.option("--id", "annotation_id", help="Names the note: a repeat changes nothing. [default: a new one]")
@click.option("--event", "emit_event", is_flag=True, help="Tell of it with an event annotation:created.")
@target_options
def annotate(run_id: str, key: str, value: str, address: str | None, namespace: str, **fields: Any) -> None:
    """Make the note KEY: VALUE on a run. VALUE is JSON, or else taken as text.

    \b
    Examples:
      stageline run annotate 0192f0c1-... approval.approvers '["jane", "joe"]' --by user:jane
      stageline run annotate 0192f0c1-... decision.rationale "the cheaper one was good enough"
    """  # noqa: D301 - click reads the control character
    import json

    try:
        said = json.loads(value)
    except ValueError:
        said = value

    async def note(client: Client) -> bool:
        return await client.annotate_run(run_id, key, said, **fields)

    is_new = speak(Target(address, namespace), note)
    click.echo("noted" if is_new else "the run has this note already")


@click.command()
@click.argument("run_id")
@click.option("--key", "key_prefix", default="", help="Only this key, and those below it.")
@click.option("--stage", "stage_id", default="", help="Only notes of this stage.")
@click.option("--scope", default="", help="Only notes of this scope, such as run or stage.")
@click.option("--scope-id", default="", help="Only notes about the thing of this id in its scope.")
@click.option("--actor-kind", default="", help="Only notes by actors of this kind, such as human or agent.")
@click.option("--actor-id", default="", help="Only notes by the actor of this id.")
@click.option("--generation", type=click.IntRange(min=1), help="Only notes of this generation of a stage.")
@click.option("--since", type=moment_of, metavar="TIME", help="Only notes made at this time or later.")
@click.option("--until", type=moment_of, metavar="TIME", help="Only notes made before this time.")
@click.option("--json", "as_json", is_flag=True, help="Print the notes as a JSON array.")
@target_options
def annotations(  # noqa: PLR0913, PLR0917 - one parameter for each option
    run_id: str,
    key_prefix: str,
    stage_id: str,
    scope: str,
    scope_id: str,
    actor_kind: str,
    actor_id: str,
    generation: int | None,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    address: str | None,
    namespace: str,
) -> None:
    """Show the notes on a run: what was decided, why, by whom.

    \b
    Examples:
      stageline run annotations 0192f0c1-...
      stageline run annotations 0192f0c1-... --key decision --json | jq .[].value
      stageline run annotations 0192f0c1-... --actor-kind human --since 2026-08-01T09:00Z
    """  # noqa: D301 - click reads the control character
    from rich.markup import escape

    from stageline_cli.output import annotation_as_json, moment, one_line, print_json, stdout, table

    async def read(client: Client) -> list[Annotation]:
        found = client.annotations(
            run_id,
            key_prefix=key_prefix,
            stage_id=stage_id,
            scope=scope,
            scope_id=scope_id,
            actor_kind=actor_kind,
            actor_id=actor_id,
            generation=generation,
            since=since,
            until=until,
        )
        return [each async for each in found]

    found = speak(Target(address, namespace), read)
    if as_json:
        print_json([annotation_as_json(each) for each in found])
        return
    if not found:
        click.echo("No annotations. Stages make them with ctx.annotate(key, value)", err=True)
        return
    shown = table("AT", "STAGE", "#ATTEMPT", "KEY", "VALUE", "BY")
    for each in found:
        value = escape(one_line(_value_text(each.value)))
        attempt = str(each.attempt or "")
        shown.add_row(
            moment(each.at), escape(each.stage_id), attempt, escape(each.key), value, escape(each.actor)
        )
    stdout().print(shown)


def _value_text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tell(changed: Run, *, as_json: bool) -> None:
    from stageline_cli.output import print_json, run_as_json

    if as_json:
        print_json(run_as_json(changed))
    else:
        click.echo(f"run {changed.id} is {changed.status}")
