"""The `stageline` command: composes the SDK always, the server only when asked to."""
