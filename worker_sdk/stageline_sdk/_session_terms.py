"""What a server told a worker in Welcome: its intervals and limits."""

from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from stageline.v1 import session_pb2

# A limit that a server does not know, it does not enforce.
_WITHOUT_LIMIT = 2**62
# The protocol's own defaults, for a server that leaves a field unset: see session.proto and limits.proto.
_HEARTBEAT_INTERVAL = timedelta(seconds=5)
_SESSION_TIMEOUT = timedelta(seconds=15)
_PROGRESS_INTERVAL = timedelta(seconds=1)
_FRAME_BYTES_MAX = 1024 * 1024
_FRAME_ITEMS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Terms:
    """Intervals and limits of a session.

    Attributes:
        heartbeat_interval: Both sides send a frame at least this often.
        session_timeout: Silence after which the other side is taken for lost.
        progress_interval: Progress of one lease is sent at most this often.
        frame_bytes_max: Largest frame.
        frame_items_max: Most items of a frame.
        inline_payload_bytes_max: Largest JSON text inside a message.
        payload_bytes_max: Largest JSON text that is stored apart.
        log_message_bytes_max: Longest log message.
        log_entries_per_second_max: Most log lines a second of the session.
    """

    heartbeat_interval: timedelta
    session_timeout: timedelta
    progress_interval: timedelta
    frame_bytes_max: int
    frame_items_max: int
    inline_payload_bytes_max: int
    payload_bytes_max: int
    log_message_bytes_max: int
    log_entries_per_second_max: int

    @classmethod
    def of(cls, welcome: session_pb2.Welcome) -> "Terms":
        """Read a Welcome."""
        limits = welcome.limits
        return cls(
            heartbeat_interval=_interval(welcome.heartbeat_interval, _HEARTBEAT_INTERVAL),
            session_timeout=_interval(welcome.session_timeout, _SESSION_TIMEOUT),
            progress_interval=_interval(welcome.progress_interval, _PROGRESS_INTERVAL),
            frame_bytes_max=limits.frame_bytes_max or _FRAME_BYTES_MAX,
            frame_items_max=limits.frame_items_max or _FRAME_ITEMS_MAX,
            inline_payload_bytes_max=limits.inline_payload_bytes_max or _WITHOUT_LIMIT,
            payload_bytes_max=limits.payload_bytes_max or _WITHOUT_LIMIT,
            log_message_bytes_max=limits.log_message_bytes_max or _WITHOUT_LIMIT,
            log_entries_per_second_max=limits.log_entries_per_second_max or _WITHOUT_LIMIT,
        )


def _interval(message: Duration, default: timedelta) -> timedelta:
    value = message.ToTimedelta()
    return value if value > timedelta(0) else default
