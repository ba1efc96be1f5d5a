"""Between the wire and the kernel: batches that form by themselves, leases, timers, hints. Knows no gRPC."""
