"""``python -m stageline_engine.testing.simulation``: plays seeds, shows what they did, and how a failing one is replayed."""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence

from stageline_engine.testing.simulation.many import Plan, SeedTold, play_seeds
from stageline_engine.testing.simulation.script import STEPS_DEFAULT
from stageline_engine.testing.simulation.simulate import Told

COMMAND = "python -m stageline_engine.testing.simulation"


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays what it is told to. Returns 1 where a seed fails."""
    options = _parser().parse_args(arguments)
    plan = Plan(options.steps, options.beside, options.beside_every)
    seeds: Iterable[int] = range(options.first, options.first + options.seeds)
    if options.seed is not None:
        seeds = [options.seed]
        plan = Plan(options.steps, options.beside, 1)
    total, beside, failures = Told(), 0, list[SeedTold]()
    for played in play_seeds(seeds, plan, options.processes):
        total += played.told
        beside += played.beside
        if played.failure:
            failures.append(played)
            _show_failure(played, options)
        _show_progress(total.seeds + len(failures), options)
        if len(failures) >= options.failures_max:
            break
    if options.json:
        print(json.dumps(_facts(total, beside, failures)))
    else:
        print(_summary(total, beside, failures))
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Play random histories and check the invariants."
    )
    parser.add_argument("--seeds", type=int, default=500, help="how many histories (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--steps", type=int, default=STEPS_DEFAULT, help="of each (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="(default: one for each core)")
    parser.add_argument("--beside", default="", metavar="MODULE:NAME", help="another adapter's backends")
    parser.add_argument("--beside-every", type=int, default=50, help="seeds (default: %(default)s)")
    parser.add_argument("--failures-max", type=int, default=1, help="stop after (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="a summary for programs")
    return parser


def _show_failure(played: SeedTold, options: argparse.Namespace) -> None:
    replay = f"{COMMAND} --seed {played.seed} --steps {options.steps}"
    if played.beside:
        replay += f" --beside {options.beside}"
    print(f"\n{played.failure}\nTo replay it: {replay}", file=sys.stderr)


def _show_progress(done: int, options: argparse.Namespace) -> None:
    if sys.stderr.isatty() and options.seed is None:
        print(f"\r{done} of {options.seeds} seeds ", end="", file=sys.stderr, flush=True)
        if done == options.seeds:
            print(file=sys.stderr)


def _facts(total: Told, beside: int, failures: Sequence[SeedTold]) -> dict[str, object]:
    return {
        "seeds": total.seeds + len(failures),
        "seeds_side_by_side": beside,
        "failed_seeds": [played.seed for played in failures],
        "steps": total.steps,
        "runs_checked": total.checks,
        "steps_by_manner": total.manners,
        "acts": total.acts,
        "commands": total.commands,
    }


def _summary(total: Told, beside: int, failures: Sequence[SeedTold]) -> str:
    rows = [f"{'command':<20}{'accepted':>10}{'refused':>10}{'lost':>10}"]
    for kind, answers in sorted(total.commands.items()):
        rows.append(f"{kind:<20}" + "".join(f"{answers[how]:>10}" for how in ("accepted", "refused", "lost")))
    manners = ", ".join(f"{count} {manner}" for manner, count in Counter(total.manners).most_common())
    failed = f"{len(failures)} FAILED" if failures else "all well"
    return "\n".join(
        [
            *rows,
            "",
            f"{total.seeds + len(failures)} seeds ({beside} side by side), {total.steps} steps: {manners}",
            f"runs checked against the invariants {total.checks} times: {failed}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
