"""How a server is configured: by environment variables, over which the command line's options go.

``docs/configuration.md`` is made from this file.
"""

from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stageline_engine import limits
from stageline_engine.blob_keys import key_fault
from stageline_engine.model.ai_call import ContentPolicy
from stageline_server.auth.policy import TokenPolicy
from stageline_server.dispatch.settings import RETENTION_DEFAULT, PlaneSettings

PREFIX = "STAGELINE_"
DEFAULT_PORT = 7460
PORT_MAX = 65_535


class LogLevel(StrEnum):
    """How much the server writes to its log."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogFormat(StrEnum):
    """How a line of the log looks."""

    TEXT = "text"
    JSON = "json"


class SettingsError(Exception):
    """A setting is wrong. The message names each variable, what is wrong with it, and its value's kind."""


def _seconds(value: object) -> object:
    """Reads a plain number as seconds: text is all that an environment has."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        return value  # ISO 8601, or wrong: for pydantic to say


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]


class Settings(BaseSettings):
    """Every setting of a server. Durations are seconds, or ISO 8601 text such as ``PT30S``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, validate_default=True, env_ignore_empty=True
    )

    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="PostgreSQL 14 or later, as `postgresql://user:password@host:5432/database`. Required by "
        "`stageline server` and `stageline migrate`; `stageline dev` brings its own database. "
        "No pooler in between that shares connections between transactions.",
    )
    listen: str = Field(
        default=f"127.0.0.1:{DEFAULT_PORT}",
        description="Address to listen on: `host:port`, `[::]:port` or `unix:/path`. Port 0 takes any free one. "
        "On addresses that other machines reach it needs TLS and tokens, unless `INSECURE` is set.",
    )
    tokens: TokenPolicy = Field(
        default=TokenPolicy.AUTO,
        description="Whether calls need a token (`docs/security.md`). `auto`: where the server listens beyond this "
        "machine, unless `INSECURE` is set.",
    )
    tls_cert: Path | None = Field(
        default=None,
        description="Certificate chain of the server, PEM. With `TLS_KEY` connections are encrypted.",
    )
    tls_key: Path | None = Field(default=None, description="Private key of `TLS_CERT`, PEM.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="Certificates, PEM, one of which must have signed every client's own (mTLS). Unset asks for none.",
    )
    insecure: bool = Field(
        default=False,
        description="Listen beyond this machine without TLS or tokens: in a network that you trust, or behind a proxy.",
    )
    metrics_listen: str = Field(
        default="",
        description="Where to serve metrics for Prometheus, as `http://…/metrics`: `host:port`, or a port alone, which is of "
        "127.0.0.1; 0 takes any free one. Neither encrypted nor asking who calls: they tell numbers, no contents. Empty: "
        "nowhere.",
    )
    data_dir: Path = Field(
        default=Path(".stageline"),
        description="Folder of the server's files: large payloads and artifacts, unless `BLOB_BUCKET` is set, and of "
        "`stageline dev` its database and its log. Made if missing. Servers that share a database share this folder, "
        "or a bucket.",
    )
    blob_bucket: str = Field(
        default="",
        description="Bucket, on S3 or what speaks its protocol, for large payloads and artifacts. It must exist. Needs "
        "`stageline[s3]`. Credentials are those of the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`) or of "
        "the machine. Empty: the folder `blobs` in `DATA_DIR`.",
    )
    blob_prefix: str = Field(
        default="",
        description="Put before every key in the bucket, so that several deployments may share it.",
    )
    blob_endpoint: str = Field(
        default="",
        description="URL of the S3 server, as `https://host:port`. Empty: Amazon's of the region.",
    )
    blob_region: str = Field(
        default="", description="Region of the bucket. Empty: `AWS_REGION`, else `us-east-1`."
    )
    log_level: LogLevel = Field(default=LogLevel.INFO, description="How much goes to the log.")
    log_format: LogFormat = Field(
        default=LogFormat.TEXT, description="`text` for people, `json` for one object a line."
    )
    drain_deadline: Seconds = Field(
        default=timedelta(seconds=30),
        ge=timedelta(0),
        le=timedelta(hours=24),
        description="After SIGTERM or Ctrl-C: how long workers may finish what they hold. A second signal ends it at once.",
    )
    transaction_connections: int = Field(
        default=4,
        ge=1,
        le=100,
        description="Database connections for transactions. About as many as the database has cores; "
        "more make batches smaller, not faster.",
    )
    read_connections: int = Field(
        default=4, ge=1, le=100, description="Database connections for reads. One more listens for hints."
    )
    connection_wait: Seconds = Field(
        default=timedelta(seconds=5),
        gt=timedelta(0),
        le=timedelta(minutes=5),
        description="How long to wait for a database connection before a request is answered with UNAVAILABLE.",
    )
    committers: int = Field(
        default=PlaneSettings().committers,
        ge=1,
        le=64,
        description="Transactions with reports side by side; more than `TRANSACTION_CONNECTIONS` are of no use.",
    )
    session_timeout: Seconds = Field(
        default=limits.SESSION_TIMEOUT,
        ge=timedelta(seconds=1),
        le=timedelta(hours=1),
        description="Silence after which a worker is taken for dead and its jobs are handed on.",
    )
    lease_duration: Seconds = Field(
        default=limits.LEASE_DURATION,
        ge=timedelta(seconds=1),
        le=timedelta(hours=1),
        description="How long a job of a worker without a stream (`stageline worker --once`) is its own unless it is extended.",
    )
    heartbeat_interval: Seconds = Field(
        default=limits.HEARTBEAT_INTERVAL,
        gt=timedelta(0),
        le=timedelta(minutes=30),
        description="How often either side of a worker's stream says something. At most half of `SESSION_TIMEOUT`.",
    )
    health_interval: Seconds = Field(
        default=timedelta(seconds=5),
        gt=timedelta(0),
        le=timedelta(minutes=5),
        description="How often the health service looks whether the database answers.",
    )

    ai_contents: ContentPolicy = Field(
        default=PlaneSettings().ai_contents,
        description="What is kept of the prompts and responses of AI calls: `full` texts, only their `hash` and size, or "
        "`none`. A call may ask for less, never for more.",
    )
    plugins: str = Field(
        default="",
        description="Plugins, as `module:attribute`, separated by commas; also the option `--plugin`, once for each. "
        "See docs/plugins.md.",
    )
    webhook_url: str = Field(
        default="",
        description="Where to post every event, as JSON; the plugin `webhook`. See docs/plugins.md.",
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Signs what is posted to `WEBHOOK_URL`, as standardwebhooks.com says. At least 16 bytes.",
    )
    events_file: str = Field(
        default="",
        description="A file to append every event to, as lines of JSON; `-` is standard output. The plugin `events-file`.",
    )
    run_retention: Seconds = Field(
        default=timedelta(0),
        ge=timedelta(0),
        le=timedelta(days=3660),
        description="How long ended runs are kept, with all that is theirs. 0 keeps them for ever.",
    )
    key_retention: Seconds = Field(
        default=RETENTION_DEFAULT.keys or timedelta(0),
        ge=timedelta(0),
        le=timedelta(days=3660),
        description="How long a request id is remembered, so that a repeat gets the first answer. 0 is for ever; never "
        "longer than `RUN_RETENTION`.",
    )
    event_log_retention: Seconds = Field(
        default=RETENTION_DEFAULT.log or timedelta(0),
        ge=timedelta(0),
        le=timedelta(days=3660),
        description="How long a reader of all events may be away and still resume from its cursor. 0 is for ever; never "
        "longer than `RUN_RETENTION`. The events of each run stay with the run.",
    )

    @field_validator("database_url")
    @classmethod
    def _is_a_url(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text and not text.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        return value

    @field_validator("metrics_listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if value and not (port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
            raise ValueError(f"must be host:port or a port, of 0 to {PORT_MAX}")
        return f"{host or '127.0.0.1'}:{port}" if value else ""

    @field_validator("blob_endpoint")
    @classmethod
    def _is_a_web_address(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        return value

    @field_validator("blob_prefix")
    @classmethod
    def _is_a_folder(cls, value: str) -> str:
        fault = key_fault(value) if value else ""
        if fault:
            raise ValueError(f"must be a plain path: {fault}")
        return value

    @model_validator(mode="after")
    def _certificates_fit(self) -> Self:
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError(f"{PREFIX}TLS_CERT and {PREFIX}TLS_KEY go together: set both or none")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError(f"{PREFIX}TLS_CLIENT_CA needs {PREFIX}TLS_CERT and {PREFIX}TLS_KEY")
        return self

    @model_validator(mode="after")
    def _heartbeats_fit(self) -> Self:
        if self.heartbeat_interval * 2 > self.session_timeout:
            raise ValueError(
                f"{PREFIX}HEARTBEAT_INTERVAL ({self.heartbeat_interval.total_seconds():g} s) must be at most half of "
                f"{PREFIX}SESSION_TIMEOUT ({self.session_timeout.total_seconds():g} s)"
            )
        return self

    def plane_settings(self) -> PlaneSettings:
        """Returns what concerns the control plane."""
        return PlaneSettings(
            session_timeout=self.session_timeout,
            lease_duration=self.lease_duration,
            heartbeat_interval=self.heartbeat_interval,
            committers=self.committers,
            ai_contents=self.ai_contents,
            retention=replace(
                RETENTION_DEFAULT,
                runs=self.run_retention or None,
                keys=self.key_retention or None,
                log=self.event_log_retention or None,
            ),
        )

    def plugin_targets(self) -> tuple[str, ...]:
        """Returns what ``plugins`` names."""
        return tuple(target for part in self.plugins.split(",") if (target := part.strip()))


def load_settings(**overrides: Any) -> Settings:
    """Reads the settings from the environment.

    Args:
        overrides: Values by field name that go over the environment; None leaves a field to it.

    Raises:
        SettingsError: A value is of the wrong kind or out of its range.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(_told(error)) from error


def _told(error: ValidationError) -> str:
    """Every fault on a line: the variable, and what is wrong. Values are not shown: one of them is a password."""
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        variable = PREFIX + str(fault["loc"][0]).upper() if fault["loc"] else ""
        lines.append(f"{variable}: {fault['msg']}" if variable else str(fault["msg"]))
    return "\n".join(lines)
