"""The entry point of the `stageline` command.

It imports nothing heavy, so that `stageline --help` answers at once: commands are imported when they are called.
"""

import os
import sys

MISSING_EXTRA = "The command line is not installed: pip install 'stageline[cli]'  (click is missing)"


def main() -> None:
    """Runs the command that the arguments name and exits with one of `ExitCode`."""
    # gRPC's fork handlers crash children that are forked to become another program, such as a restarted database. It
    # reads this when it is first imported.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    try:
        from stageline_cli.group import stageline
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        print(MISSING_EXTRA, file=sys.stderr)
        sys.exit(2)
    stageline(prog_name="stageline")


if __name__ == "__main__":
    main()
