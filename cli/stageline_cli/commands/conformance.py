"""`stageline conformance`: hold a worker in any language to the protocol."""

import json
from pathlib import Path

import click

from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError
from stageline_conformance import LANES_DEFAULT, Report, Result, WorkerNotStartedError, run, select

_MARKS = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}


@click.command()
@click.option("--worker", "command", required=True, metavar="COMMAND", help="Starts the worker under test.")
@click.option(
    "--only",
    "words",
    multiple=True,
    metavar="WORD",
    help="Only cases of this name, group or rule; repeatable.",
)
@click.option(
    "--lanes",
    type=click.IntRange(1, 64),
    default=LANES_DEFAULT,
    show_default=True,
    help="Workers side by side.",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to a file, as JSON.",
)
@click.option("--quiet", is_flag=True, help="Show only what failed or was skipped, and the sum.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def conformance(
    command: str, words: tuple[str, ...], lanes: int, report_file: Path | None, quiet: bool, as_json: bool
) -> None:
    """Hold a worker in any language to the worker protocol.

    Starts a scripted server on the public protocol, and the worker with its address in STAGELINE_ADDRESS; injects
    faults; and tells what the worker did. No shell is started for the command. The worker serves the workflow that
    docs/conformance-worker.md describes; the rules are those of docs/worker-protocol.md. Exits with 0 if no case failed,
    with 1 if one did.

    \b
    Examples:
      stageline conformance --worker "python -m examples.conformance_worker"
      stageline conformance --worker ./conformance-worker --only resume --only R51 --report report.json
    """  # noqa: D301 - click reads the control character
    cases = select(words)
    if not cases:
        raise CommandError(f"no case has {' or '.join(words)} in its name, group or rules", ExitCode.USAGE)
    show = _silent if as_json else _show_trouble if quiet else _show
    try:
        report = run(command, cases=cases, lanes=lanes, on_result=show)
    except* WorkerNotStartedError as errors:
        raise CommandError(f"cannot start the worker: {errors.exceptions[0]}", ExitCode.USAGE) from None
    told = json.dumps(report.as_json(), indent=2, ensure_ascii=False)
    if report_file is not None:
        report_file.write_text(f"{told}\n", encoding="utf-8")
    click.echo(told if as_json else _summary(report))
    if not report.is_conformant:
        click.get_current_context().exit(ExitCode.RUN_FAILED)


def _silent(_: Result) -> None:
    pass


def _show_trouble(result: Result) -> None:
    if result.verdict != "passed":
        _show(result)


def _show(result: Result) -> None:
    rules = " ".join(result.rules)
    click.echo(f"{_MARKS[result.verdict]} {result.group}/{result.name} ({rules}) {result.seconds:.2f} s")
    if result.message:
        click.echo("\n".join(f"       {line}" for line in (result.title, *result.message.splitlines())))
    for line in result.worker_log.splitlines():
        click.echo(f"       | {line}")


def _summary(report: Report) -> str:
    failed = report.named("failed")
    counted = (
        f"{report.worker}: {len(report.named('passed'))} passed, {len(failed)} failed, "
        f"{len(report.named('skipped'))} skipped, in {report.seconds:.1f} s"
    )
    lines = [f"  failed: {result.group}/{result.name} ({' '.join(result.rules)})" for result in failed]
    return "\n".join([counted, *lines])
