"""Between messages and values, without I/O: every rule here can be tested with nothing running."""
