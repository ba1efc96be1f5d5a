"""Every bound of the system, each with its reason.

A limit is met with a typed rejection that names it and the size it was given. The wire tells workers the ones that
concern them (``Welcome``) and clients all of them (``AdminService.GetServerInfo``).
"""

from datetime import timedelta

FRAME_BYTES_MAX = 1024 * 1024
"""One message on a worker stream. gRPC's default receive limit is 4 MiB; a quarter of it keeps head-of-line waits short."""

PAYLOAD_INLINE_BYTES_MAX = 128 * 1024
"""One input, output, config or suspended state inside a message or a row. Above it Postgres rows and frames both suffer."""

PAYLOAD_NESTING_MAX = 128
"""Levels of arrays and objects in one JSON text: parsers give up at 100 to 1,000, and a worker must be able to read it."""

OFFER_OUTPUTS_BYTES_MAX = 128 * 1024
"""Earlier outputs sent along with one job. A worker fetches the rest on demand, so that one offer fits in a frame."""

EVENT_OUTPUT_BYTES_MAX = PAYLOAD_INLINE_BYTES_MAX
"""The run's output inside ``workflow:completed``. A larger one is left out and said to be; the run itself has it."""

STAGES_PER_WORKFLOW_MAX = 2000
"""Stages in one definition: twice the widest group, so that a join and its neighbours always fit."""

STAGES_PER_GROUP_MAX = 1000
"""Parallel stages in one group; each costs one row and one report, never a scan of its siblings."""

DEFINITION_BYTES_MAX = 4 * 1024 * 1024
"""One registered definition with all its schemas; it must pass through one unary call."""

NAME_LENGTH_MAX = 128
"""Workflow names, stage ids, namespaces and worker names: they are keys in indexes and labels in metrics."""

NAME_PATTERN = r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?"
"""Lower case, digits, dot, dash and underscore, no separator at either end: safe in URLs, file names and metrics."""

REQUEST_ID_LENGTH_MAX = 128
"""An idempotency key: room for a UUID with a prefix; it is part of an index."""

TITLE_LENGTH_MAX = 255
DESCRIPTION_BYTES_MAX = 16 * 1024
"""Names and texts for people, of a workflow and of a stage."""

START_DELAY_MAX = timedelta(days=366)
"""How far ahead the start of a run may be: a year and a day, as for every wait, so that a slip of the year is met as a limit."""

PRIORITY_MIN = 0
PRIORITY_MAX = 100
PRIORITY_DEFAULT = 5
"""Higher runs first. A small closed range keeps the queue's index selective and its meaning plain."""

LABELS_MAX = 64
LABEL_KEY_LENGTH_MAX = 63
LABEL_VALUE_LENGTH_MAX = 255
"""Labels of a run or a worker: the sizes users know from Kubernetes."""

ERROR_MESSAGE_LENGTH_MAX = 4 * 1024
ERROR_STACK_LENGTH_MAX = 16 * 1024
"""A failure's text as it is stored; longer ones are cut and say so, since a failure must always be recordable."""

LOG_MESSAGE_LENGTH_MAX = 16 * 1024
"""One log line; longer ones are cut and say so."""

PROGRESS_MESSAGE_LENGTH_MAX = 1024
"""The text beside a progress fraction."""

CANCEL_REASON_LENGTH_MAX = 1024
"""Why a run was cancelled, as a person wrote it."""

ACCESS_TOKEN_WORKFLOWS_MAX = 100
"""Workflows that one access token names. A worker serves a few; one that serves all needs none named."""

ACCESS_TOKEN_LIFETIME_MAX = timedelta(days=3660)
"""The longest life of an access token that ends by itself: ten years, so that an overflow is met as a limit."""

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 1000
"""Items in one page of a list."""

FULL_RUNS_PER_PAGE_MAX = 20
"""Runs in one page with their inputs, outputs and stages, which may be large."""

RUNS_PER_REQUEST_MAX = 1000
"""Runs that one request may create: two transactions' worth."""

UNARY_BYTES_MAX = 8 * 1024 * 1024
"""One unary request: twice a definition, so that one that is somewhat too large is still met with a typed refusal."""

ANSWER_PAYLOADS_BYTES_MAX = 3 * 1024 * 1024
"""Payloads inline in one answer; those beyond are named by size and SHA-256. gRPC clients take 4 MiB unless told else."""

COMMANDS_PER_BATCH_MAX = 500
"""Commands in one transaction: beyond it commits gain nothing and locks are held longer (measured: 200 to 500 is flat)."""

SLOTS_PER_SESSION_MAX = 10_000
"""Jobs that one worker session may hold."""

ATTEMPTS_MAX = 100
"""Tries of one stage that a retry policy may ask for: enough for days of waiting, and an end of every loop."""

BACKOFF_FACTOR_MAX = 10.0
"""How much a wait may grow over the one before; beyond it the second retry would be the last in a day."""

ERROR_TYPES_MAX = 100
ERROR_TYPE_LENGTH_MAX = 255
"""Error types that a retry policy may name as final, and the name of one."""

STAGE_TIMEOUT_MAX = timedelta(days=366)
STAGE_HEARTBEAT_MIN = timedelta(seconds=1)
"""Bounds of a stage's timeouts: a year and a day, and no shorter than the interval at which progress is told."""

DELIVERIES_PER_ATTEMPT_MAX = 5
"""Times one attempt is handed out without an outcome before the stage fails as poison: it has killed that many workers."""

RETRY_BACKOFF_MAX = timedelta(days=1)
"""The longest wait between two attempts."""

SESSION_TIMEOUT = timedelta(seconds=15)
"""Silence after which a session is dead and its leases are handed to others."""

LEASE_DURATION = timedelta(seconds=60)
"""How long a lease without a stream holds unless it is extended: time for a function to start, and for three extensions."""

CHECK_TIMEOUT = timedelta(seconds=30)
"""How long one check of a suspended stage may take where the kernel makes it itself: a provider's answer, not its work."""

LEASE_WAIT_MAX = timedelta(seconds=60)
"""How long one call may wait for a job: below what proxies and function platforms cut off."""

LEASES_PER_CALL_MAX = 1000
"""Leases that one call extends, and items that it reports."""

HEARTBEAT_INTERVAL = timedelta(seconds=5)
"""How often a silent worker must say something: three chances within a session's time-out."""

PROGRESS_INTERVAL = timedelta(seconds=1)
"""How often a worker may tell the progress of one job: a person sees no more, and each one is an event in the log."""

FRAME_ITEMS_MAX = 1000
"""Items in one frame, so that dealing with one never holds up the others for long."""

OUTBOX_BYTES_MAX = 16 * 1024 * 1024
"""What may wait for one worker's stream. A worker that reads leaves next to nothing waiting; more of it, and it is cut off."""

OUTBOX_LEASING_BYTES_MAX = 4 * 1024 * 1024
"""What may wait for a stream while its worker is still given jobs: some frames full, so that a fast reader never notices."""

SCHEMA_BYTES_MAX = 128 * 1024
"""One JSON Schema of a definition."""

PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
"""One payload that is passed by reference: it is parsed as a whole, to be held to its schema."""

PAYLOAD_GRACE = timedelta(days=1)
"""How long a payload is kept that no run refers to: a worker that could not report at once still finds it."""

UPLOAD_TIME_MAX = timedelta(days=1)
"""An upload that has not ended by then is of a process that died; its bytes are removed."""

ARTIFACT_BYTES_MAX = 5 * 1024 * 1024 * 1024
"""One artifact. It is streamed and never held in memory; the limit keeps one mistake from filling a disk."""

ARTIFACT_KEY_LENGTH_MAX = 512
CONTENT_TYPE_LENGTH_MAX = 127
"""An artifact's name is part of an index; a media type has at most 127 characters before and after its slash."""

LOG_LINES_PER_SECOND_MAX = 1000
"""Log lines a second of one session; a worker drops those beyond and says how many."""

POLL_INTERVAL_DEFAULT = timedelta(seconds=30)
"""Between two checks of a suspended stage that names no interval."""

POLL_INTERVAL_MIN = timedelta(seconds=1)
"""A stage that must react faster should be resumed from outside rather than polled."""

WAIT_DEFAULT = timedelta(days=1)
"""The longest wait of a suspended stage that names none: what providers' batch interfaces promise."""

RESUME_CONDITIONS_MAX = 10
"""Tokens by which one suspension may be ended from outside."""

ANNOTATIONS_PER_CALL_MAX = 100
"""Remarks in one call or report."""

ANNOTATION_BYTES_MAX = 16 * 1024
ANNOTATION_DETAILS_BYTES_MAX = 64 * 1024
"""Value, and details, of one remark."""

WAIT_MAX = timedelta(days=366)
"""The longest that a stage may stay suspended."""

EMIT_TRIES_MAX = 20
"""Times that a sink is offered an event before it is dead-lettered: with the waits below an outage of an hour is outlived."""

EMIT_BACKOFF_MIN = timedelta(seconds=1)
EMIT_BACKOFF_MAX = timedelta(minutes=5)
"""The wait after a sink's first refusal, doubled with each further one up to the longest: quick to notice a sink's
return, gentle on one that is down."""

SUBMISSION_KEY_LENGTH_MAX = 255
SUBMISSION_REFERENCE_LENGTH_MAX = 1024
"""What a provider is given to know a submission by, which is part of an index, and the provider's id for it."""

SUBMISSIONS_PER_STAGE_MAX = 100
"""Submissions of one generation of a stage: all of them ride in each further offer of its job."""

TOPIC_LENGTH_MAX = 255
MODEL_NAME_LENGTH_MAX = 255
PROVIDER_LENGTH_MAX = 63
"""What an AI call was for, its model by key, id and batch, and its provider: they are keys in indexes and groups in sums."""

USAGE_ERROR_LENGTH_MAX = 1024
"""Why an AI call failed; the stage's own failure says more."""

USAGE_METADATA_BYTES_MAX = 16 * 1024
"""More about an AI call; prompt and response have fields of their own."""

TOKENS_PER_CALL_MAX = 10**12
"""Tokens of one AI call: a million times the longest context there is, and sums of a million calls still fit 64 bits."""

COST_MAX_USD = 10**9
COST_DECIMALS_MAX = 12
"""What one AI call may cost, in US dollars: no call costs a billion, and a millionth of a token's price still counts."""

USAGE_PER_REQUEST_MAX = 1000
"""AI calls in one request or report: a few transactions' worth."""

USAGE_GROUPS_MAX = 1000
"""Groups in one sum of AI calls: more is a listing."""

EMIT_STREAMS_MAX = 16
"""Runs whose events one consumer is given side by side: enough to hide the latency of a network, few enough to be kind."""

EMIT_TIME_LIMIT_MAX = timedelta(minutes=5)
"""The longest that a consumer may take over one event. A server's death delays its claimed streams by some times that."""

EVENT_PATTERNS_MAX = 50
"""Patterns of event types that a consumer or a stream of events may name."""

CONSUMER_KEPT = timedelta(days=7)
"""How long events are kept for a plugin that no server has any more; then it is forgotten with what waits for it."""
