"""Runs a plugin as a consumer of events: its own order, its own retries, its own dead letters."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from stageline_engine.plugins.definition import Plugin, PluginError, plugin_event
from stageline_engine.plugins.isolation import ANSWER_SECONDS, Isolation
from stageline_engine.ports import EventRefusedError
from stageline_engine.records import EventRow, EventSource

SLACK = timedelta(seconds=1 + ANSWER_SECONDS)
"""What is added to the time limits for what goes on around the calls."""


class PluginRunner:
    """The EventSink port over one plugin."""

    def __init__(self, plugin: Plugin) -> None:
        """Takes the plugin; no thread is started before its first event."""
        self.plugin = plugin
        self._isolation = Isolation(plugin.name, plugin.handler, plugin.timeout)

    @property
    def time_limit(self) -> timedelta:
        """No further event is begun after one time-out, and the last one ends within another."""
        return 2 * self.plugin.timeout + SLACK

    async def emit(self, source: EventSource, events: Sequence[EventRow]) -> int:
        """Calls the handler for each event that the plugin wants, in order.

        Raises:
            EventRefusedError: The handler raised, or took too long.
        """
        begun = time.monotonic()
        for count, event in enumerate(events):
            if not self.plugin.wants(event.type):
                continue
            if count and time.monotonic() - begun > self.plugin.timeout.total_seconds():
                return count
            try:
                await self._isolation.call(plugin_event(source, event))
            except Exception as error:
                raise EventRefusedError(f"{type(error).__name__}: {error}", taken=count) from error
        return len(events)


def run_plugins(plugins: Iterable[Plugin]) -> Mapping[str, PluginRunner]:
    """Returns a consumer for each plugin, by name: what ``Kernel`` takes as its sinks.

    Raises:
        PluginError: Two have one name.
    """
    runners: dict[str, PluginRunner] = {}
    for plugin in plugins:
        if plugin.name in runners:
            raise PluginError(
                f"two plugins are called {plugin.name!r}; what each has taken would be mixed up"
            )
        runners[plugin.name] = PluginRunner(plugin)
    return runners
