"""Plugins: what a deployment does with its events. ``docs/plugins.md`` is for those who write them.

from stageline_engine.plugins import PluginEvent, define_plugin

@define_plugin("audit", on=["workflow:*"])
async def audit(event: PluginEvent) -> None:
    await write(event.run_id, event.type, event.payload)
"""

from stageline_engine.plugins.definition import Plugin, PluginError, PluginEvent, define_plugin
from stageline_engine.plugins.json_lines import json_lines
from stageline_engine.plugins.runner import PluginRunner, run_plugins
from stageline_engine.plugins.webhook import WebhookRefusedError, signature, webhook

__all__ = [
    "Plugin",
    "PluginError",
    "PluginEvent",
    "PluginRunner",
    "WebhookRefusedError",
    "define_plugin",
    "json_lines",
    "run_plugins",
    "signature",
    "webhook",
]
