"""The gRPC server of Stageline: maps the wire onto the kernel and runs its loops."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("stageline")
except PackageNotFoundError:  # run from a tree that was never installed
    __version__ = "0+unknown"
