"""Durations as people type them: `90s`, `30m`, `12h`, `7d`."""

import re
from datetime import timedelta

import click

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration_of(text: str) -> timedelta:
    """Returns the duration that an option names: a number with a unit.

    Raises:
        click.BadParameter: It names none.
    """
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is no duration: write a number and s, m, h or d, such as 12h")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
