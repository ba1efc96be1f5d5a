"""Whether other servers listen on the same database: a server that is alone need not tell anybody of its commits."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import orjson

GREETED_EVERY = timedelta(seconds=20)
"""How often a listener says that it is there."""

KEPT_FOR = 3 * GREETED_EVERY
"""How long another listener is believed to be there after it was heard last."""

UNKNOWN_FOR = timedelta(seconds=10)
"""How long a new listener takes it that there are others. They answer its first greeting at once, unless they are busy."""

_GREETING = '{"greeting":'


def is_greeting(text: str) -> bool:
    """Whether what was heard is no hint."""
    return text.startswith(_GREETING)


class Company:
    """The other listeners, as far as one server hears of them. It takes it that there are some until it knows better.

    Listeners greet each other on the channel of the hints. A new one asks to be greeted; the others know of it from then
    on. What is not known costs a hint too many, or, where a greeting was lost, a hint too few until the next one.
    """

    def __init__(self, now_seconds: Callable[[], float], unknown_for: timedelta = UNKNOWN_FOR) -> None:
        """Takes a monotonic clock."""
        self._now_seconds = now_seconds
        self._unknown_for = unknown_for
        self._name = uuid4().hex
        self._until_seconds = float("inf")

    @property
    def is_there(self) -> bool:
        """Whether others may listen."""
        return self._now_seconds() < self._until_seconds

    def listening_began(self) -> None:
        """Takes note that others can be heard from now on."""
        self._until_seconds = self._now_seconds() + self._unknown_for.total_seconds()

    def listening_ended(self) -> None:
        """Takes note that nobody can be heard any more."""
        self._until_seconds = float("inf")

    def greeting(self, *, asks: bool = False) -> str:
        """What this listener says; the others answer where it asks them to."""
        return orjson.dumps({"greeting": self._name, "asks": asks}).decode()

    def heard(self, text: str) -> bool:
        """Takes what was heard; returns whether it is another listener's greeting that wants an answer."""
        greeting = orjson.loads(text) if is_greeting(text) else {}
        name = greeting.get("greeting")
        if name == self._name or (name is None and self.is_there):
            return False  # a hint that is heard in company may be this server's own
        self._until_seconds = max(self._until_seconds, self._now_seconds() + KEPT_FOR.total_seconds())
        return bool(greeting.get("asks"))
