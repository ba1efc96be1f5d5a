"""The gRPC server of Stageline: maps the wire onto the kernel and runs its loops."""
