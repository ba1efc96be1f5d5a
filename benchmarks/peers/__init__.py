"""Other systems on the same workloads, each in a process of an environment of its own: `make bench-peers`."""
