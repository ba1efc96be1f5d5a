"""What random histories are made of."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from stageline_engine.commands import CheckNow, Completed, Outcome, Returned, StillWaiting, Suspended
from stageline_engine.events import StageError
from stageline_engine.limits import SESSION_TIMEOUT
from stageline_engine.testing.scene import completed, failed

PICK = st.integers(min_value=0, max_value=999)
KEYS = st.sampled_from(["", "", "key-1", "key-2"])
SLOTS = st.integers(min_value=1, max_value=4)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.integers(0, 9).map(completed),
    st.just(completed("not an integer")),
    st.just(Completed(b"\xff not JSON")),
    st.just(failed()),
    st.just(failed(retryable=False)),
    st.sampled_from([timedelta(), timedelta(seconds=7)]).map(lambda wait: failed(retry_after=wait)),
    st.booleans().map(lambda started: Returned(started=started)),
    st.builds(
        Suspended,
        state=st.sampled_from([b"{}", b'{"batch": 1}']),
        poll_interval=st.sampled_from([None, timedelta(seconds=4)]),
        wait_max=st.sampled_from([timedelta(seconds=20), timedelta(minutes=5)]),
        never_poll=st.booleans(),
    ),
    st.sampled_from([None, b'{"seen": 1}']).map(lambda state: StillWaiting(state=state)),
)
WAITS: st.SearchStrategy[Any] = st.one_of(
    st.integers(0, 9).map(completed), st.just(StageError("Rejected", "no")), st.just(CheckNow())
)
STEPS = st.sampled_from(
    [timedelta(milliseconds=1), timedelta(seconds=1), timedelta(seconds=4), SESSION_TIMEOUT]
)
