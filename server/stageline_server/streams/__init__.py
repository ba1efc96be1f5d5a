"""The worker stream: frames, sessions, items. Everything here is about one stream at a time."""
