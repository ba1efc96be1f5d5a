"""The commands, one module each; `stageline_cli.group` imports them when they are called."""
