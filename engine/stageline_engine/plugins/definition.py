"""What a plugin is, and what it is given."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, overload
from uuid import UUID

import orjson

from stageline_engine import limits
from stageline_engine.patterns import matches_any
from stageline_engine.records import EventRow, EventSource

TIMEOUT_DEFAULT = timedelta(seconds=10)

_NAME = re.compile(limits.NAME_PATTERN)


class PluginError(ValueError):
    """A plugin is not defined as it must be. The message names the plugin, the rule and the value."""


@dataclass(frozen=True, slots=True)
class PluginEvent:
    """One event, as a handler is given it.

    Attributes:
        run_id: The run.
        sequence: Its place among the run's events, from 1. With the run it names the event, also when it comes again.
        type: Such as ``stage:completed``; ``docs/events.md`` lists them.
        payload: What the type says.
        occurred_at: When it was decided, by the database's clock.
        namespace: The tenant.
        workflow_name: The run's workflow.
        causation_id: Of the command that caused it.
    """

    run_id: UUID
    sequence: int
    type: str
    payload: dict[str, Any]
    occurred_at: datetime
    namespace: str
    workflow_name: str
    causation_id: UUID

    @property
    def id(self) -> str:
        """A text that names the event for ever: what a receiver may remember to act once."""
        return f"{self.run_id}.{self.sequence}"

    def as_json(self) -> bytes:
        """Returns the event as one JSON object without a line break."""
        return orjson.dumps(
            {
                "id": self.id,
                "type": self.type,
                "run_id": self.run_id,
                "sequence": self.sequence,
                "occurred_at": self.occurred_at,
                "namespace": self.namespace,
                "workflow_name": self.workflow_name,
                "causation_id": self.causation_id,
                "payload": self.payload,
            }
        )


def plugin_event(source: EventSource, event: EventRow) -> PluginEvent:
    """Returns a stored event as handlers are given it."""
    return PluginEvent(
        run_id=event.run_id,
        sequence=event.sequence,
        type=event.type,
        payload=orjson.loads(event.payload),
        occurred_at=event.occurred_at,
        namespace=source.namespace,
        workflow_name=source.workflow_name,
        causation_id=event.causation_id,
    )


Handler = Callable[[PluginEvent], Awaitable[None] | None]
"""A plain function or a coroutine function. What it raises means that the event was not taken, and comes again."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A handler of events with a name; made by ``define_plugin``.

    Attributes:
        name: Under this name the deployment remembers what the plugin has taken.
        on: Patterns of the event types that it is given.
        handler: What is called.
        timeout: The longest that one call may take.
    """

    name: str
    on: tuple[str, ...]
    handler: Handler
    timeout: timedelta

    def wants(self, event_type: str) -> bool:
        """Whether the plugin is given events of a type."""
        return matches_any(self.on, event_type)


@overload
def define_plugin(
    name: str, on: Sequence[str], handler: Handler, *, timeout: timedelta = TIMEOUT_DEFAULT
) -> Plugin: ...
@overload
def define_plugin(
    name: str, on: Sequence[str], *, timeout: timedelta = TIMEOUT_DEFAULT
) -> Callable[[Handler], Plugin]: ...


def define_plugin(
    name: str, on: Sequence[str], handler: Handler | None = None, *, timeout: timedelta = TIMEOUT_DEFAULT
) -> Plugin | Callable[[Handler], Plugin]:
    """Makes a plugin of a handler; without one it is a decorator.

    Args:
        name: Lower case, digits, dot, dash and underscore. Keep it: under a new name a plugin begins anew.
        on: Event types, each whole or with ``*`` at its end: ``["workflow:*", "stage:failed"]``. 1 to 50.
        handler: A plain function, which runs in a thread, or a coroutine function, which runs on an event loop of the
            plugin's own. It may be given an event again, and must bear that.
        timeout: The longest that one call may take, up to 5 minutes. Default: 10 seconds.

    Raises:
        PluginError: The name, a pattern or the timeout breaks its rule.
    """
    if not _NAME.fullmatch(name):
        raise PluginError(f"the name of a plugin must match {limits.NAME_PATTERN}, but is {name!r:.200}")
    patterns = (on,) if isinstance(on, str) else tuple(on)
    if not 1 <= len(patterns) <= limits.EVENT_PATTERNS_MAX:
        raise PluginError(
            f"plugin {name!r}: on must hold 1 to {limits.EVENT_PATTERNS_MAX} patterns, but holds {len(patterns)}"
        )
    for pattern in patterns:
        if not pattern or "*" in pattern[:-1]:
            raise PluginError(
                f"plugin {name!r}: a pattern is an event type, or its beginning and '*', but one is {pattern!r:.200}"
            )
    if not timedelta(0) < timeout <= limits.EMIT_TIME_LIMIT_MAX:
        allowed = f"{limits.EMIT_TIME_LIMIT_MAX.total_seconds():g} s"
        raise PluginError(f"plugin {name!r}: timeout must be above 0 and at most {allowed}, but is {timeout}")

    def define(handler: Handler) -> Plugin:
        if not callable(handler):
            raise PluginError(f"plugin {name!r}: the handler must be a function, but is {handler!r:.200}")
        return Plugin(name, patterns, handler, timeout)

    return define if handler is None else define(handler)
