"""Who else listens: a server tells others of its commits where there are any, and knows soon enough when there are none."""

from datetime import timedelta

from stageline_engine.adapters.postgres.company import KEPT_FOR, UNKNOWN_FOR, Company
from stageline_engine.adapters.postgres.hints import encode
from stageline_engine.ports import Hint

HINT = encode(Hint(routes=frozenset({1})))[0]


class Time:
    """Seconds that a test lets pass."""

    seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def advance(self, by: timedelta) -> None:
        self.seconds += by.total_seconds()


def listener(time: Time) -> Company:
    company = Company(time.now)
    company.listening_began()
    return company


def alone(time: Time) -> Company:
    company = listener(time)
    time.advance(UNKNOWN_FOR)
    assert not company.is_there
    return company


def test_who_does_not_listen_cannot_know_and_takes_it_that_others_do() -> None:
    time = Time()
    company = Company(time.now)
    time.advance(timedelta(days=1))
    assert company.is_there
    left = alone(time)
    left.listening_ended()
    assert left.is_there


def test_a_listener_whose_greeting_nobody_answers_is_alone() -> None:
    time = Time()
    company = listener(time)
    assert company.is_there
    assert not company.heard(company.greeting(asks=True))
    time.advance(UNKNOWN_FOR)
    assert not company.is_there


def test_a_newcomer_is_known_at_once_and_is_answered() -> None:
    time = Time()
    company = alone(time)
    newcomer = listener(time)
    assert company.heard(newcomer.greeting(asks=True))
    assert not newcomer.heard(company.greeting())
    time.advance(UNKNOWN_FOR)
    assert company.is_there
    assert newcomer.is_there


def test_who_is_heard_no_more_is_forgotten() -> None:
    time = Time()
    company, other = alone(time), listener(time)
    company.heard(other.greeting())
    time.advance(KEPT_FOR / 2)
    company.heard(other.greeting())
    time.advance(KEPT_FOR / 2)
    assert company.is_there
    time.advance(KEPT_FOR / 2)
    assert not company.is_there


def test_a_hint_that_is_not_ours_tells_of_a_server_that_does_not_greet() -> None:
    time = Time()
    company = alone(time)
    assert not company.heard(HINT)
    assert company.is_there
    time.advance(KEPT_FOR / 2)
    company.heard(HINT)  # may be our own now
    time.advance(KEPT_FOR / 2)
    assert not company.is_there
