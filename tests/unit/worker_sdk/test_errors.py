"""The tree of errors is the one that is drawn."""

import inspect

import pytest

from stageline_sdk import errors


def drawn() -> list[tuple[str, str]]:
    """Return (error, its parent) for every line of the drawing."""
    found: list[tuple[str, str]] = []
    path: list[str] = []
    for line in inspect.getdoc(errors).splitlines():  # type: ignore[union-attr]
        name = line.lstrip(" │├└─").split(" ")[0]
        if name.endswith("Error") and (line.startswith("    ") or "─" in line):
            depth = (len(line) - len(line.lstrip(" │├└─"))) // 4 - 1
            path[depth:] = [name]
            found.append((name, path[depth - 1] if depth else "Exception"))
    return found


def test_the_drawing_is_complete_and_right() -> None:
    defined = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == errors.__name__
    }
    pairs = drawn()
    assert {name for name, _ in pairs} == set(defined)
    assert [(name, defined[name].__mro__[1].__name__) for name, _ in pairs] == pairs


def test_an_api_error_tells_its_reason_and_its_fields() -> None:
    error = errors.InvalidArgumentError(
        "the input is not valid",
        reason="INVALID_INPUT",
        field_violations=[
            errors.FieldViolation("input.url", "is required"),
            errors.FieldViolation("", "odd"),
        ],
        metadata={"violation_count": "2"},
    )
    assert str(error) == "INVALID_INPUT: the input is not valid\n  - input.url: is required\n  - odd"
    assert error.message == "the input is not valid"
    assert error.metadata["violation_count"] == "2"
    assert not error.retryable
    with pytest.raises(TypeError):
        error.metadata["more"] = "x"  # type: ignore[index]


def test_retryable_is_by_kind_unless_the_server_says() -> None:
    assert errors.UnavailableError("down").retryable
    assert not errors.UnavailableError("down", retryable=False).retryable
    assert not errors.NotFoundError("gone").retryable
    assert errors.ResourceExhaustedError("later", retryable=True).retryable


def test_api_errors_are_also_what_python_calls_them() -> None:
    assert issubclass(errors.UnavailableError, ConnectionError)
    assert issubclass(errors.DeadlineExceededError, TimeoutError)
    assert issubclass(errors.NotFoundError, LookupError)
