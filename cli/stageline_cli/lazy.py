"""A command group that imports a command only when it is called, so that help is instant."""

import importlib
from collections.abc import Mapping
from typing import NamedTuple

import click

HELP_WIDTH = 80
"""Characters of the line that help shows of a command that is here already."""


class LazyCommand(NamedTuple):
    """Where a command lives, and what help says of it.

    Attributes:
        target: `module:attribute` of a `click.Command`.
        summary: The line that the group's help shows; no import is needed for it.
    """

    target: str
    summary: str


class LazyGroup(click.Group):
    """A group over a table of `LazyCommand`."""

    def __init__(self, *, commands_by_name: Mapping[str, LazyCommand], **settings: object) -> None:
        """Takes the table; the other arguments are those of `click.Group`."""
        super().__init__(**settings)  # type: ignore[arg-type]  # passed on as they came
        self._lazy = commands_by_name

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of the commands that are here, then those of the table, each in its order."""
        return [*self.commands, *self._lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command; None where there is none of this name."""
        if cmd_name not in self._lazy:
            return self.commands.get(cmd_name)
        module_name, _, attribute = self._lazy[cmd_name].target.partition(":")
        command = getattr(importlib.import_module(module_name), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._lazy[cmd_name].target} is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands from the table alone."""
        with formatter.section("Commands"):
            here = [(name, command.get_short_help_str(HELP_WIDTH)) for name, command in self.commands.items()]
            formatter.write_dl([*here, *((name, command.summary) for name, command in self._lazy.items())])
