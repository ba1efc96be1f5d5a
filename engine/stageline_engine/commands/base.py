"""What all commands have in common: each names the type of its result."""

from typing import Generic, TypeVar

Result_co = TypeVar("Result_co", covariant=True)


class Command(Generic[Result_co]):
    """A request to the kernel. Commands are frozen values; ``Result_co`` is what an accepted one gives."""

    __slots__ = ()
