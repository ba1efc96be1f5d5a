"""The rules of style, over the whole tree. CONTRIBUTING.md says why each is there."""

import re
from collections.abc import Callable, Iterable

import pytest

from tests.tidy import rules
from tests.tidy.tree import BESIDE, SHIPPED, files_of_kind, python_files, read

# File -> why it may be longer than the rule. Splitting comes first; an entry here is the last resort.
LONG_FILES: dict[str, str] = {
    "protos/stageline/v1/run_service.proto": "one service with its requests; moving messages breaks generated code",
}
# File -> why it may sleep. Everything else waits on signals, or through tests/waiting.py.
SLEEPERS = {
    "tests/waiting.py": "the deadline helper itself",
    "tests/tidy/test_rules.py": "holds samples of what is forbidden",
}
# The embedded server makes the very database that the adapter then speaks to.
STATEMENT_HOMES = (
    "engine/stageline_engine/adapters/postgres/",
    "migrations/",
    "server/stageline_server/embedded/",
)

# Words of unfinished work, and of machines that are not the reader's.
BANNED = {
    "unfinished": re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"),
    "a stub": re.compile(r"raise NotImplementedError|pragma: no cover"),
    "a machine's path": re.compile(r"(?<![\w.])/(home/[a-z]\w*/|root/|work/(main|shared)|Users/)"),
    "a registry's host": re.compile(r"\bpypi\.org\b|\bpythonhosted\.org\b|\bproxy\.golang\.org\b"),
    "unkind words": re.compile(r"\b(blacklist|whitelist|slave)\b", re.IGNORECASE),
}


def findings(files: Iterable[str], rule: Callable[[str], list[str]]) -> list[str]:
    """Return what a rule finds in the files, one line each, as file:line: text."""
    return [f"{name}:{finding}" for name in files for finding in rule(read(name))]


def test_files_can_be_read_at_a_sitting() -> None:
    long = {
        name: lines
        for name in files_of_kind(".py", ".proto", ".sh", ".sql")
        if (lines := len(read(name).splitlines())) > rules.FILE_LINES_MAX and name not in LONG_FILES
    }
    assert long == {}


def test_functions_can_be_read_at_a_glance() -> None:
    assert findings(python_files(*SHIPPED, *BESIDE), rules.long_functions) == []


def test_servicer_methods_only_translate() -> None:
    assert findings(python_files("server/stageline_server/services"), rules.long_rpc_methods) == []


def test_tests_wait_on_signals() -> None:
    files = [name for name in python_files("tests") if name not in SLEEPERS]
    assert findings(files, rules.sleeps) == []


def test_our_own_code_is_never_mocked() -> None:
    assert findings(python_files("tests", "examples", "benchmarks"), rules.mocks) == []


def test_deciders_return_their_refusals() -> None:
    assert findings(python_files("engine/stageline_engine/decide"), rules.raises) == []


def test_the_core_is_pure() -> None:
    core = [f"engine/stageline_engine/{folder}" for folder in ("apply", "decide", "model")]
    assert findings(python_files(*core), rules.impure_imports) == []


def test_users_need_no_test_tools() -> None:
    assert findings(python_files(*SHIPPED), rules.test_only_imports) == []


def test_durations_have_units() -> None:
    assert findings(python_files(*SHIPPED), rules.unitless_durations) == []


def test_sql_lives_with_postgres() -> None:
    files = [name for name in python_files(*SHIPPED) if not name.startswith(STATEMENT_HOMES)]
    assert findings(files, rules.sql_strings) == []


@pytest.mark.parametrize("what", BANNED)
def test_nothing_is_banned(what: str) -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in files_of_kind(".py", ".proto", ".sh", ".md", ".toml", ".yaml", ".sql", "Makefile", "run")
        if not name.startswith("tests/tidy/")
        for number, line in enumerate(read(name).splitlines(), start=1)
        if BANNED[what].search(line)
    ]
    assert found == []


def test_every_exemption_is_still_needed() -> None:
    assert [name for name in LONG_FILES if len(read(name).splitlines()) <= rules.FILE_LINES_MAX] == []
    assert [name for name in SLEEPERS if "sleep" not in read(name)] == []
