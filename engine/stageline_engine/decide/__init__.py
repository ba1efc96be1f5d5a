"""Pure decisions: (view, command, now, chance) to events, or a rejection. Nothing here changes or fetches anything."""
