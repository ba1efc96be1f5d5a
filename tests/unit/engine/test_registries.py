"""Whatever is declared is handled: an event, a command, a reason."""

import inspect
import re
import typing

from stageline_engine import commands, events, kernel
from stageline_engine.apply.dispatch import APPLIERS
from stageline_engine.model.job import JOB_TRANSITIONS, JobState
from stageline_engine.model.run import RUN_TRANSITIONS, RunState
from stageline_engine.model.stage import STAGE_TRANSITIONS, StageState
from stageline_engine.publish import INTERNAL_EVENTS, PUBLISHERS
from tests.tidy.tree import read

EVENTS = frozenset(typing.get_args(events.Event))
# Kinds of events that are in the tables and come with later commands, or are not told on their own.
TABLE_ONLY = frozenset({"JobPromoted"})
# Values that events carry.
CARRIED = {events.StageError, events.Annotation, events.ResumeCondition, events.RestoredWait}


def commands_declared() -> set[type]:
    """Every class that is a command, whether the kernel knows it or not."""
    found = {kind for _, kind in inspect.getmembers(commands, inspect.isclass)}
    return {kind for kind in found if issubclass(kind, commands.Command)} - {commands.Command}


def test_every_event_is_an_event() -> None:
    declared = {
        kind for _, kind in inspect.getmembers(events, inspect.isclass) if kind.__module__ == events.__name__
    }
    assert declared - CARRIED == EVENTS


def test_every_event_has_an_applier() -> None:
    assert set(APPLIERS) == EVENTS


def test_every_event_has_a_publisher_or_is_internal() -> None:
    assert set(PUBLISHERS) | INTERNAL_EVENTS == EVENTS
    assert not set(PUBLISHERS) & INTERNAL_EVENTS


def test_every_command_has_a_handler() -> None:
    by_itself = {commands.ExecuteJob, commands.ExtendLeases, commands.FlushOutbox, commands.PollSuspended}
    assert commands_declared() == set(kernel.HANDLERS) | by_itself


def test_tables_name_events_and_states_that_exist() -> None:
    names = {event.__name__ for event in EVENTS} | TABLE_ONLY
    for table, states in (
        (RUN_TRANSITIONS, RunState),
        (STAGE_TRANSITIONS, StageState),
        (JOB_TRANSITIONS, JobState),
    ):
        assert {event for _, event in table} <= names
        assert {state for state, _ in table} | set(table.values()) <= set(states)


def test_every_public_event_is_in_the_docs_and_the_proto() -> None:
    published = set(
        re.findall(r'"((?:workflow|run|stage|annotation):\w+)"', read("engine/stageline_engine/publish.py"))
    )
    documented = set(re.findall(r"^### `([a-z_:]+)`", read("docs/events.md"), re.MULTILINE))
    told = set(
        re.findall(
            r"^//   - ((?:workflow|run|stage|annotation):\w+):",
            read("protos/stageline/v1/event.proto"),
            re.MULTILINE,
        )
    )
    assert published == documented
    assert published <= told
