"""The steps by which something is submitted once: what is asked of whom, and in which order.

A stage in a thread and one on a loop take the same steps; two functions carry them out for each.
"""

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from stageline_sdk._limits import SUBMISSION_NAME_LENGTH_MAX, SUBMISSION_REFERENCE_LENGTH_MAX
from stageline_sdk.errors import SuspectedOrphanError
from stageline_sdk.submissions import Submission

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Tell:
    """Have the server put this on record, and wait until it has."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class Ask:
    """Call the stage's code with a key: to submit under it, or to look it up at the provider."""

    what: Literal["SUBMIT", "LOOK_UP"]
    key: str


Step = Tell | Ask
Steps = Generator[Step, Any, str]


class AttemptSubmissions:
    """The submissions of one generation of a stage, as an attempt knows them."""

    def __init__(self, run_id: str, stage_id: str, generation: int, known: Iterable[Submission]) -> None:
        """Take what the job said of earlier attempts."""
        self._scope = f"{run_id}/{stage_id}/{generation}"
        self._known = {each.key: each for each in known}
        self._under_way: set[str] = set()

    @property
    def known(self) -> tuple[Submission, ...]:
        """All of them: those of earlier attempts by key, then those of this one."""
        return tuple(self._known.values())

    def key_of(self, name: str) -> str:
        """Return the key of a submission: the same in every attempt, and no other stage's, run's or generation's.

        Raises:
            ValueError: It is no name.
        """
        if len(name) > SUBMISSION_NAME_LENGTH_MAX or not _NAME.fullmatch(name):
            raise ValueError(
                f"a submission's name has 1 to {SUBMISSION_NAME_LENGTH_MAX} characters of A-Z a-z 0-9 . _ -, "
                f"a letter or digit first, got {name[:100]!r}"
            )
        return f"{name}-{uuid.uuid5(uuid.NAMESPACE_URL, f'stageline:{self._scope}/{name}')}"

    def steps(self, name: str, *, can_look_up: bool, refusals: tuple[type[BaseException], ...] = ()) -> Steps:
        """Yield what is to be done to submit something once; the value at the end is the provider's reference.

        Args:
            name: The submission's name in this stage.
            can_look_up: Whether the provider can be asked if it has a key.
            refusals: Exceptions of SUBMIT after which surely nothing was submitted.

        Raises:
            SuspectedOrphanError: An earlier try may have submitted it, and the provider cannot be asked.
            ValueError: The name is none, or the reference is not.
            RuntimeError: The same is under way already.
        """
        key = self.key_of(name)
        with self._only_once_at_a_time(name):
            known = self._known.get(key)
            if known is not None and known.phase == "CONFIRMED":
                return known.reference
            if known is not None and known.phase != "WITHDRAWN":
                found = yield from self._found(key, can_look_up=can_look_up)
                if found is not None:
                    return found
            yield from self._tell(Submission(key, "DECLARED"))
            try:
                reference = yield Ask("SUBMIT", key)
            except refusals:
                yield from self._tell(Submission(key, "WITHDRAWN"))
                raise
            return (yield from self._confirm(key, reference))

    def _found(self, key: str, *, can_look_up: bool) -> Generator[Step, Any, str | None]:
        """Find what an earlier try may have submitted; None where the provider surely does not have it."""
        if not can_look_up:
            yield from self._tell(Submission(key, "SUSPECTED"))
            raise SuspectedOrphanError(key)
        reference = yield Ask("LOOK_UP", key)
        return None if reference is None else (yield from self._confirm(key, reference))

    def _confirm(self, key: str, reference: Any) -> Generator[Step, Any, str]:
        if not isinstance(reference, str) or not 1 <= len(reference) <= SUBMISSION_REFERENCE_LENGTH_MAX:
            raise ValueError(
                f"a submission's reference is a text of 1 to {SUBMISSION_REFERENCE_LENGTH_MAX} characters, "
                f"got {type(reference).__name__} {str(reference)[:100]!r}"
            )
        yield from self._tell(Submission(key, "CONFIRMED", reference))
        return reference

    def _tell(self, submission: Submission) -> Generator[Step, Any, None]:
        """Have the server know first; what it did not acknowledge is not taken for known."""
        yield Tell(submission)
        self._known[submission.key] = submission

    @contextmanager
    def _only_once_at_a_time(self, name: str) -> Iterator[None]:
        if name in self._under_way:
            raise RuntimeError(f"submission {name!r} is under way already: give each its own name")
        self._under_way.add(name)
        try:
            yield
        finally:
            self._under_way.discard(name)


def submit_once(
    submissions: AttemptSubmissions,
    tell: Callable[[Submission], None],
    name: str,
    submit: Callable[[str], str],
    look_up: Callable[[str], str | None] | None,
    refusals: tuple[type[Exception], ...],
) -> str:
    """Carry the steps out in this thread. See `Context.submit_once`."""

    def perform(step: Step) -> Any:
        if isinstance(step, Tell):
            return tell(step.submission)
        return (submit if step.what == "SUBMIT" or look_up is None else look_up)(step.key)

    steps = submissions.steps(name, can_look_up=look_up is not None, refusals=refusals)
    try:
        step = next(steps)
        while True:
            try:
                answer = perform(step)
            except BaseException as error:  # noqa: BLE001 - the steps decide what it means
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        return str(done.value)


async def submit_once_async(
    submissions: AttemptSubmissions,
    tell: Callable[[Submission], None],
    name: str,
    submit: Callable[[str], Awaitable[str]],
    look_up: Callable[[str], Awaitable[str | None]] | None,
    refusals: tuple[type[Exception], ...],
) -> str:
    """As `submit_once`; the loop goes on while the server and the provider are waited for."""

    async def perform(step: Step) -> Any:
        if isinstance(step, Tell):
            return await asyncio.to_thread(tell, step.submission)
        return await (submit if step.what == "SUBMIT" or look_up is None else look_up)(step.key)

    steps = submissions.steps(name, can_look_up=look_up is not None, refusals=refusals)
    try:
        step = next(steps)
        while True:
            try:
                answer = await perform(step)
            except BaseException as error:  # noqa: BLE001 - the steps decide what it means
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        return str(done.value)
