"""Durations and times as people type them: `90s`, `30m`, `12h`, `7d`; `2026-08-01T09:00`."""

import re
from datetime import datetime, timedelta

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


def moment_of(text: str) -> datetime:
    """Returns the time that an option names, with its zone: ISO 8601, local time where it names none.

    Raises:
        click.BadParameter: It names none.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no time: write it as 2026-08-01T09:00, or with a zone as 2026-08-01T09:00Z"
        ) from None
