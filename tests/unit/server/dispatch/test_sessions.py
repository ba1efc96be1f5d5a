"""Slots: what is free, what is reserved, and never more than the worker said."""

import itertools
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stageline_engine.commands import JobOffer
from stageline_server.dispatch.sessions import LocalSession, Reservation, SessionTable
from tests.unit.server.dispatch.outlets import offer_to, session

SLOTS = 5


def table(*sessions: LocalSession) -> SessionTable:
    made = SessionTable()
    for each in sessions:
        made.add(each)
    return made


def test_a_new_session_has_no_credit() -> None:
    made = LocalSession(session().id, "default", [3, 1, 3], 4, session().outlet)
    assert (made.free_slots, made.route_ids) == (0, (1, 3))


def test_credit_is_absolute_and_no_more_than_the_slots() -> None:
    one = session(slots=4, free=0)
    for said, on_the_way, free in [(2, 0, 2), (2, 0, 2), (99, 0, 4), (3, 2, 1), (1, 2, 0), (-7, 0, 0)]:
        one.set_credit(said, on_the_way)
        assert one.free_slots == free


def test_a_reservation_is_limited_by_what_is_free_and_given_back_once() -> None:
    one, other = session(slots=2), session(slots=3)
    sessions = table(one, other)
    reservation = sessions.reserve(4)
    assert [(demand.session_id, demand.slots) for demand in reservation.demands] == [
        (one.id, 2),
        (other.id, 2),
    ]
    assert (one.free_slots, other.free_slots, reservation.slots) == (0, 1, 4)
    one.hold(offer_to(one))
    reservation.release()
    assert (one.free_slots, other.free_slots) == (1, 3)


def test_sessions_take_turns() -> None:
    sessions = table(*(session(slots=9) for _ in range(3)))
    asked = [sessions.reserve(1).demands[0].session_id for _ in range(6)]
    assert asked[:3] == asked[3:]
    assert len(set(asked)) == 3


def test_only_sessions_that_can_run_a_route_are_asked_and_only_for_it() -> None:
    sessions = table(session(1, 2), session(2, 3), session(4))
    demands = sessions.reserve(100, frozenset({2, 3})).demands
    assert [demand.route_ids for demand in demands] == [(2,), (2, 3)]


def test_promised_slots_are_left_for_others() -> None:
    sessions = table(session(slots=2), session(slots=3))
    assert not sessions.reserve(100, promised=5).demands
    assert sessions.reserve(100, promised=3).slots == 2
    assert sessions.reserve(1).slots == 1


def test_a_draining_session_takes_nothing() -> None:
    one = session()
    one.draining = True
    assert not table(one).reserve(1).demands


def test_a_newer_stream_takes_the_place_of_the_older() -> None:
    old = session()
    new = LocalSession(old.id, "default", (1,), 3, old.outlet)
    sessions = table(old)
    assert sessions.add(new) is old
    sessions.remove(old)
    assert sessions.get(old.id) is new
    sessions.remove(new)
    assert sessions.get(old.id) is None


def test_those_heard_of_since_a_moment() -> None:
    one, other = session(), session()
    one.last_heard, other.last_heard = 10.0, 20.0
    assert table(one, other).heard_since(15.0) == [other]


def test_a_dropped_lease_leaves_nothing_behind() -> None:
    one = session()
    offer = offer_to(one)
    one.hold(offer)
    assert one.attempts == {offer.lease.lease_token: offer.attempt}
    assert one.drop(offer.lease.lease_token) == offer.lease
    assert one.drop(offer.lease.lease_token) is None
    assert not one.held
    assert not one.attempts


@dataclass
class Worker:
    """What the worker at the other end knows, and what is on its way to it and from it."""

    holds: int = 0
    to_worker: list[int] = field(default_factory=list)
    to_server: list[tuple[int, int]] = field(default_factory=list)
    seen: int = 0


class Credits(RuleBasedStateMachine):
    """A server and a worker with delay both ways, transactions in between: the worker never holds more than its slots."""

    def __init__(self) -> None:
        super().__init__()
        self.session = session(slots=SLOTS, free=0)
        self.table = table(self.session)
        self.worker = Worker()
        self.open: list[Reservation] = []
        self.sequences = itertools.count(1)
        self.unacknowledged: list[int] = []

    @rule(limit=st.integers(1, 8))
    def begin(self, limit: int) -> None:
        self.open.append(self.table.reserve(limit))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        reservation = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        for _ in range(data.draw(st.integers(0, reservation.slots))):
            self.session.hold(self._offer())
            self.worker.to_worker.append(next(self.sequences))
            self.unacknowledged.append(self.worker.to_worker[-1])
        reservation.release()

    def _offer(self) -> JobOffer:
        return offer_to(self.session)

    @precondition(lambda self: self.worker.to_worker)
    @rule()
    def receive(self) -> None:
        self.worker.seen = self.worker.to_worker.pop(0)
        self.worker.holds += 1

    @precondition(lambda self: self.worker.holds)
    @rule()
    def finish(self) -> None:
        self.worker.holds -= 1

    @rule()
    def say_credits(self) -> None:
        self.worker.to_server.append((self.worker.seen, SLOTS - self.worker.holds))

    @precondition(lambda self: self.worker.to_server)
    @rule()
    def take_credits(self) -> None:
        acknowledged, free = self.worker.to_server.pop(0)
        self.unacknowledged = [each for each in self.unacknowledged if each > acknowledged]
        self.session.set_credit(free, len(self.unacknowledged))

    @invariant()
    def never_more_than_the_slots(self) -> None:
        assert self.worker.holds + len(self.worker.to_worker) <= SLOTS


TestCredits = Credits.TestCase
TestCredits.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
