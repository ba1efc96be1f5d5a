"""`stageline usage`: what AI calls cost."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import click

from stageline_cli.connecting import Target, speak, target_options
from stageline_cli.durations import duration_of, moment_of
from stageline_sdk import BookedCall, Client, UsageFilter, UsageSum

DIMENSIONS = ("model", "provider", "topic", "run", "stage", "type", "day")
BY_DEFAULT = ("model",)


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--by",
    multiple=True,
    metavar="[" + "|".join(DIMENSIONS) + "]",
    help="Group by this; several at once as --by model,day. [default: model]",
)
@click.option("--run", "run_id", default="", help="Calls of this run.")
@click.option("--stage", "stage_id", default="", help="Calls of this stage.")
@click.option("--topic", default="", help="Calls of this topic and of what is under it.")
@click.option("--model", default="", help="Calls that asked for this model.")
@click.option("--provider", default="", help="Calls of this provider.")
@click.option("--since", default="", help="Calls begun since: 12h, 7d, or a time such as 2026-08-01T09:00.")
@click.option("--until", default="", help="Calls begun before; written like --since.")
@click.option(
    "--calls", "calls_max", type=click.IntRange(1, 10_000), help="Show the newest N calls themselves."
)
@click.option("--json", "as_json", is_flag=True, help="Print sums, or calls, as a JSON array.")
@target_options
def usage(
    by: tuple[str, ...],
    since: str,
    until: str,
    calls_max: int | None,
    as_json: bool,
    address: str | None,
    namespace: str,
    **named: str,
) -> None:
    """Show what AI calls cost.

    Sums in groups, the most costly first, and their total. A cost that is unknown is counted apart, and is not 0. What was
    spent for nothing, by attempts that failed, workers that were lost and work that was cancelled, is part of the cost and
    shown as wasted.

    \b
    Examples:
      stageline usage --since 7d
      stageline usage --by day,model --topic summarise
      stageline usage --run 0192f0c1-... --by stage --json
      stageline usage --run 0192f0c1-... --calls 20
    """  # noqa: D301 - click reads the control character
    which = UsageFilter(since=_moment(since), until=_moment(until), **named)  # type: ignore[arg-type]
    target = Target(address, namespace)
    if calls_max is not None:
        _show_calls(speak(target, lambda client: _newest(client, which, calls_max)), as_json=as_json)
        return
    dimensions = _dimensions(by)
    sums = speak(target, lambda client: client.usage.aggregate(which, by=dimensions))
    _show_sums(dimensions, sums, as_json=as_json)


def _dimensions(by: tuple[str, ...]) -> Any:
    named = tuple(name.strip() for each in by for name in each.split(",")) or BY_DEFAULT
    for name in named:
        if name not in DIMENSIONS:
            raise click.UsageError(f"--by {name!r} is none of {', '.join(DIMENSIONS)}")
    if len(set(named)) < len(named):
        raise click.UsageError("--by names something twice")
    return named


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    if text[-1] in "smhd" and text[:-1].isdigit():
        return datetime.now(UTC) - duration_of(text)
    return moment_of(text)


async def _newest(client: Client, which: UsageFilter, count: int) -> list[BookedCall]:
    found: list[BookedCall] = []
    async for call in client.usage.list(which, page_size=min(count, 1000)):
        found.append(call)
        if len(found) == count:
            break
    return found


def _show_sums(dimensions: Sequence[str], sums: Sequence[UsageSum], *, as_json: bool) -> None:
    from rich.markup import escape

    from stageline_cli.output import print_json, stdout, table, to_plain

    if as_json:
        print_json(
            [{**to_plain(each), "group": dict(zip(dimensions, each.group, strict=True))} for each in sums]
        )
        return
    if not sums:
        click.echo("No AI calls are on record.", err=True)
        return
    shown = table(*(name.upper() for name in dimensions), *_AMOUNTS)
    for each in sums:
        shown.add_row(*(escape(value) or "-" for value in each.group), *_amounts([each]))
    if len(sums) > 1:
        shown.add_section()
        shown.add_row("total", *[""] * (len(dimensions) - 1), *_amounts(sums))
    stdout().print(shown)


_AMOUNTS = ("#CALLS", "#INPUT", "#OUTPUT", "#CACHED", "#COST USD", "#UNKNOWN", "#WASTED USD")


def _amounts(sums: Sequence[UsageSum]) -> list[str]:
    """The cells of one row: what several groups have together."""

    def total(name: str) -> Any:
        return sum((getattr(each, name) for each in sums), Decimal(0) if "usd" in name else 0)

    calls, unknown = total("call_count"), total("unknown_cost_count")
    counts = [f"{total(name):,}" for name in ("input_tokens", "output_tokens", "cached_input_tokens")]
    return [
        f"{calls:,}",
        *counts,
        "unknown" if calls and unknown == calls else _money(total("cost_usd")),
        f"{unknown:,}" if unknown else "",
        _money(total("wasted_cost_usd")) if total("wasted_cost_usd") else "",
    ]


def _money(amount: Decimal) -> str:
    """An exact amount with at least two decimals, and no zeros at its end beyond them."""
    text = format(amount.normalize(), "f")
    whole, _, decimals = text.partition(".")
    return f"{int(whole):,}.{decimals.ljust(2, '0')}"


def _show_calls(calls: Sequence[BookedCall], *, as_json: bool) -> None:
    from rich.markup import escape

    from stageline_cli.output import moment, one_line, print_json, stdout, table, to_plain

    if as_json:
        print_json([to_plain(each) for each in calls])
        return
    if not calls:
        click.echo("No AI calls are on record.", err=True)
        return
    shown = table("BEGUN", "TOPIC", "TYPE", "MODEL", "#INPUT", "#OUTPUT", "#COST USD", "NOTE")
    for each in calls:
        note = one_line(each.error) or ("wasted" if each.wasted else "")
        shown.add_row(
            moment(each.started_at),
            escape(each.topic),
            each.call_type,
            escape(each.model or each.model_id),
            _count(each.input_tokens),
            _count(each.output_tokens),
            "unknown" if each.cost_usd is None else _money(each.cost_usd),
            escape(note),
        )
    stdout().print(shown)


def _count(tokens: int | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,}"
