"""Every bound that the SDK checks on its own, with its reason. They are those of the protos' comments.

The server has the last word: it checks the same bounds again. They are checked here too so that a mistake is
met where it was made, at decoration or at `build()`, and not when a worker connects.
"""

from datetime import timedelta
from typing import Final

NAME_LENGTH_MAX: Final = 128
"""Stage ids and workflow names: they are keys in indexes, labels in metrics and parts of paths. In characters."""

NAME_PATTERN: Final = r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?"
"""Lower case, digits, dot, dash and underscore, no separator at either end: safe in URLs, file names and metrics."""

TITLE_LENGTH_MAX: Final = 255
"""A name for people, which lists show on one line. In characters."""

DESCRIPTION_BYTES_MAX: Final = 16 * 1024
"""A text for people, which is read whole with the definition."""

STAGES_PER_WORKFLOW_MAX: Final = 2_000
"""Stages in one definition, which travels in one message and is read whole."""

STAGES_PER_GROUP_MAX: Final = 1_000
"""Parallel stages in one group, whose outputs become one object."""

SCHEMA_BYTES_MAX: Final = 128 * 1024
"""One JSON Schema of a definition, as JSON text."""

ATTEMPTS_MAX: Final = 100
"""Tries of one stage: above it, a stage is not retried but restarted for ever, and its cost with it."""

RETRY_BACKOFF_MAX: Final = timedelta(days=1)
"""The longest wait between two attempts."""

BACKOFF_FACTOR_MAX: Final = 10.0
"""Growth of the wait: above it the second wait is already the longest one."""

TIMEOUT_MAX: Final = timedelta(days=366)
"""The longest time-out of a stage: a year of waiting for people, leap years included."""

HEARTBEAT_MIN: Final = timedelta(seconds=1)
"""The shortest heartbeat time-out: below it, a pause of the network would fail healthy work."""

POLL_INTERVAL_MIN: Final = timedelta(seconds=1)
"""The shortest wait between two checks of a suspended stage: what is quicker need not suspend."""

WAIT_MAX: Final = timedelta(days=366)
"""The longest suspension of a stage, as the longest time-out."""

ERROR_TYPES_MAX: Final = 100
ERROR_TYPE_LENGTH_MAX: Final = 255
"""Error types that a policy may name, and their length in characters: each failure is compared with all of them."""

FAILURE_MESSAGE_BYTES_MAX: Final = 4 * 1024
FAILURE_STACK_BYTES_MAX: Final = 16 * 1024
"""A failure's text; a longer one is cut and says so, since a failure must always be recordable."""

RESUME_TOKENS_MAX: Final = 10
RESUME_TOKEN_BYTES: Final = 32
RESUME_LABEL_LENGTH_MAX: Final = 255
"""Tokens that one attempt may give away, their random bytes, and the text that says what is waited for."""

SUBMISSION_NAME_LENGTH_MAX: Final = 64
SUBMISSION_REFERENCE_LENGTH_MAX: Final = 1024
"""A submission's name in its stage, which with a UUID makes its key, and the provider's id for it, in characters."""

ANNOTATION_VALUE_BYTES_MAX: Final = 16 * 1024
ANNOTATION_DETAILS_BYTES_MAX: Final = 64 * 1024
"""One annotation: it is a note, not a payload."""

PROCESS_CANCEL_GRACE: Final = timedelta(seconds=5)
"""How long a cancelled stage that runs in a process may tidy up before the process is ended."""

INLINE_PAYLOAD_BYTES_MAX: Final = 128 * 1024
"""A client's value above it is stored apart before its call, as the protocol's default limit of a message says."""

LABELS_MAX: Final = 64
LABEL_KEY_LENGTH_MAX: Final = 63
LABEL_VALUE_LENGTH_MAX: Final = 255
"""Labels of a worker, and those that a stage requires: the sizes users know from Kubernetes. In characters."""
