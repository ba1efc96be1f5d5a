"""How a case says that a worker broke a rule."""


class WorkerNotStartedError(Exception):
    """The command starts no worker: there is no such program, or its quotes are not closed."""


class ViolationError(Exception):
    """The worker did what it must not, or did not do what it must."""


class StreamOverError(ViolationError):
    """The worker ended the stream while a case waited for something on it."""


class WorkerGoneError(ViolationError):
    """The worker's process ended while a case counted on it."""


def expect(condition: bool, violation: str) -> None:
    """Go on if a condition holds.

    Raises:
        ViolationError: It does not; the text says what the worker did.
    """
    if not condition:
        raise ViolationError(violation)


def expect_equal(actual: object, expected: object, what: str) -> None:
    """Go on if two values are equal.

    Raises:
        ViolationError: They are not.
    """
    if actual != expected:
        raise ViolationError(f"{what}: expected {shown(expected)}, got {shown(actual)}")


def shown(value: object, length_max: int = 300) -> str:
    """Return a value for people, cut where it is long."""
    text = repr(value)
    return text if len(text) <= length_max else f"{text[:length_max]}… ({len(text)} characters)"
