"""Finding the plugins that the settings name."""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stageline_engine.plugins import Plugin, PluginError, json_lines, run_plugins, webhook
from stageline_engine.ports import EventSink
from stageline_server.settings import Settings

WEBHOOK_NAME = "webhook"
EVENTS_FILE_NAME = "events-file"
"""The names of the plugins that settings alone make."""


def sinks_of(settings: Settings) -> Mapping[str, EventSink]:
    """Returns a consumer for each plugin that the settings name.

    Raises:
        PluginError: One cannot be found or imported, or breaks a rule.
    """
    return run_plugins(_plugins_of(settings))


def _plugins_of(settings: Settings) -> Iterator[Plugin]:
    for target in settings.plugin_targets():
        yield from load_plugins(target)
    if settings.webhook_url:
        secret = settings.webhook_secret.get_secret_value()
        yield webhook(WEBHOOK_NAME, settings.webhook_url, secret=secret)
    if settings.events_file:
        yield json_lines(EVENTS_FILE_NAME, settings.events_file)


def load_plugins(target: str) -> Sequence[Plugin]:
    """Imports a module, with the current folder on the path, and returns the plugin, or plugins, in it.

    Args:
        target: ``module:attribute``, the attribute being a plugin or a list of them; without one, every plugin of the
            module is meant.

    Raises:
        PluginError: There is no such module, attribute or plugin, or the module cannot be imported.
    """
    module_name, _, attribute = target.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
        found = getattr(module, attribute) if attribute else list(vars(module).values())
    except Exception as error:  # a user's module may raise anything when it is imported
        raise PluginError(f"plugin {target!r}: {type(error).__name__}: {error}") from error
    if isinstance(found, Plugin):
        return [found]
    several = isinstance(found, Sequence) and not isinstance(found, str)
    plugins = [each for each in found if isinstance(each, Plugin)] if several else []
    if not plugins or (attribute and len(plugins) < len(found)):
        raise PluginError(
            f"plugin {target!r}: it names no plugin; make one with stageline_engine.plugins.define_plugin"
        )
    return plugins
