"""What the commands that start a server share: settings, errors, the ready file."""

import json
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError

if TYPE_CHECKING:
    from stageline_server.settings import Settings


def _joined(_context: click.Context, _option: click.Parameter, targets: tuple[str, ...]) -> str | None:
    return ",".join(targets) or None


plugin_option = click.option(
    "--plugin",
    "plugins",
    multiple=True,
    callback=_joined,
    metavar="MODULE:OBJECT",
    help="A plugin to give events to; may be repeated. See docs/plugins.md. [env: STAGELINE_PLUGINS]",
)


def read_settings(**overrides: Any) -> "Settings":
    """Reads the settings, and sets the log up as they say.

    Args:
        overrides: Options of the command line by field name; None leaves a field to the environment.

    Raises:
        CommandError: A setting is wrong. Exit code USAGE.
    """
    from stageline_server.settings import SettingsError, load_settings
    from stageline_server.telemetry.logging import configure_logging

    try:
        settings = load_settings(**overrides)
    except SettingsError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    configure_logging(settings.log_level, settings.log_format)
    return settings


def require_database(settings: "Settings", command: str) -> None:
    """Makes sure that a database is named.

    Raises:
        CommandError: None is. Exit code USAGE.
    """
    if not settings.database_url.get_secret_value():
        message = (
            f"`stageline {command}` needs STAGELINE_DATABASE_URL, such as "
            "postgresql://user:password@localhost:5432/stageline\n"
            "To try Stageline without a database of your own: stageline dev"
        )
        raise CommandError(message, ExitCode.USAGE)


def run_server(main: Coroutine[Any, Any, None], *, port_hint: str) -> None:
    """Runs a server to its end.

    Args:
        main: The server.
        port_hint: What to do when its address is taken.

    Raises:
        CommandError: It could not begin, or could not go on. Exit code START_FAILED; USAGE where a plugin is wrong, or
            where it would be open to others than those that it is meant for.
        click.exceptions.Exit: A signal ended it before it was done. Exit code INTERRUPTED.
    """
    from stageline_engine.errors import StorageUnavailableError
    from stageline_engine.plugins import PluginError
    from stageline_server.app import ListenError
    from stageline_server.auth.policy import SecurityError
    from stageline_server.embedded import EmbeddedPostgresError
    from stageline_server.schema import SchemaError
    from stageline_server.serving import run
    from stageline_server.telemetry.endpoint import MetricsError

    try:
        run(main)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from None
    except (PluginError, SecurityError) as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    except ListenError as error:
        raise CommandError(f"{error}. {port_hint}", ExitCode.START_FAILED) from error
    except (StorageUnavailableError, SchemaError, EmbeddedPostgresError, MetricsError) as error:
        raise CommandError(str(error), ExitCode.START_FAILED) from error


def forget_ready_file(path: Path | None) -> None:
    """Removes what an earlier server left, so that nobody takes it for this one's."""
    if path is not None:
        path.unlink(missing_ok=True)


def write_ready_file(path: Path, address: str) -> None:
    """Tells programs that the server serves, and where: the file is there at once and whole, or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps({"address": address, "pid": os.getpid()}) + "\n", encoding="utf-8")
    draft.replace(path)
