"""Events that a plugin gave up on: listing them, and taking their delivery up again."""

import re
from collections.abc import Iterable, Sequence
from uuid import UUID

from stageline.v1 import event_service_pb2 as messages
from stageline_engine import limits
from stageline_engine.commands import ReplayDeadLetters
from stageline_engine.ports import DeadLetter, DeadLetterKey
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import Refusal, RefusedError, accepted, invalid_field
from stageline_server.mapping.fields import (
    namespace_of,
    optional_name,
    out_of_range,
    page_size_of,
    timestamp_of,
)
from stageline_server.mapping.page_tokens import page_token, position_of
from stageline_server.mapping.to_protos import event_message

_ID = re.compile(r"(.{1,128})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([1-9][0-9]{0,17})", re.DOTALL)
_ID_LENGTH_MAX = limits.NAME_LENGTH_MAX + 64


class DeadLetters:
    """Answers ListDeadLetters and ReplayDeadLetters."""

    def __init__(self, plane: ControlPlane) -> None:
        """Takes the plane to work with."""
        self._plane = plane
        self._queries = plane.ports.queries

    async def page(self, request: messages.ListDeadLettersRequest) -> messages.ListDeadLettersResponse:
        """Returns one page.

        Raises:
            RefusedError: A field breaks its rule.
        """
        namespace, size = namespace_of(request.namespace), page_size_of(request.page_size)
        plugin = optional_name(request.plugin, "plugin")
        binding = ("ListDeadLetters", namespace, plugin)
        after = position_of(request.page_token, binding, _key)
        found = await self._queries.list_dead_letters(namespace, consumer=plugin, after=after, limit=size)
        return messages.ListDeadLettersResponse(
            dead_letters=map(dead_letter_message, found),
            next_page_token=page_token(binding, letter_id(found[-1].key)) if len(found) == size else "",
        )

    async def replay(self, request: messages.ReplayDeadLettersRequest) -> messages.ReplayDeadLettersResponse:
        """Makes deliveries due again, or passes over them.

        Raises:
            RefusedError: One is unknown, or a field breaks its rule.
        """
        namespace = namespace_of(request.namespace)
        plugin, ids = optional_name(request.plugin, "plugin"), request.dead_letter_ids
        if len(request.request_id) > limits.REQUEST_ID_LENGTH_MAX:
            allowed = f"at most {limits.REQUEST_ID_LENGTH_MAX} characters"
            raise out_of_range("request_id", allowed, len(request.request_id))
        if bool(ids) == bool(plugin):
            raise invalid_field("dead_letter_ids", "or plugin must be given, and not both")
        if len(ids) > limits.PAGE_SIZE_MAX:
            raise out_of_range("dead_letter_ids", f"at most {limits.PAGE_SIZE_MAX}", len(ids))
        size = limits.PAGE_SIZE_MAX
        if ids:
            keys = await self._known(namespace, ids)
        else:
            found = await self._queries.list_dead_letters(namespace, consumer=plugin, limit=size + 1)
            keys = [letter.key for letter in found]
        count = await self._replay(keys[:size], skip=request.skip)
        return messages.ReplayDeadLettersResponse(replayed_count=count, more=len(keys) > size)

    async def _known(self, namespace: str, ids: Iterable[str]) -> Sequence[DeadLetterKey]:
        """The keys of dead letters that are all known.

        Raises:
            RefusedError: One is not. DEAD_LETTER_NOT_FOUND.
        """
        keys = []
        for text in dict.fromkeys(ids):
            key = await self._find(namespace, text)
            if key is None:
                told = text[:_ID_LENGTH_MAX]
                message = f"There is no dead letter {told!r} any more, or in this namespace. List them anew."
                raise RefusedError(Refusal("DEAD_LETTER_NOT_FOUND", message, {"dead_letter_id": told}))
            keys.append(key)
        return keys

    async def _find(self, namespace: str, text: str) -> DeadLetterKey | None:
        try:
            wanted = _key(text)
        except ValueError:
            return None
        found = await self._queries.list_dead_letters(
            namespace, consumer=wanted.consumer, run_id=wanted.run_id, limit=1
        )
        return next((letter.key for letter in found if letter.key == wanted), None)

    async def _replay(self, keys: Sequence[DeadLetterKey], *, skip: bool) -> int:
        if not keys:  # to the engine none means all
            return 0
        command = ReplayDeadLetters(tuple(keys), skip=skip, limit=len(keys))
        dispatched = await self._plane.kernel.dispatch_many([command])
        self._plane.events.ring()
        return len(accepted(dispatched.results[0]).letters)


def letter_id(key: DeadLetterKey) -> str:
    """Names a dead letter: the plugin, and its event's run and sequence."""
    return f"{key.consumer}.{key.run_id}.{key.sequence}"


def _key(text: str) -> DeadLetterKey:
    """Reads the name of a dead letter.

    Raises:
        ValueError: It is none.
    """
    match = _ID.fullmatch(text)
    if match is None or "\0" in text:
        raise ValueError(text[:_ID_LENGTH_MAX])
    return DeadLetterKey(UUID(match[2]), match[1], int(match[3]))


def dead_letter_message(letter: DeadLetter) -> messages.DeadLetter:
    """Returns a dead letter."""
    source = letter.source
    return messages.DeadLetter(
        dead_letter_id=letter_id(letter.key),
        event=event_message(letter.event, source.namespace, source.workflow_name),
        plugin=letter.consumer,
        attempts=letter.tries,
        last_error=letter.last_error,
        dead_time=timestamp_of(letter.dead_at),
    )
