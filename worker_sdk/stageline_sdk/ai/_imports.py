"""Imports of heavy libraries, one thread at a time.

Modules of one package that import each other must not be imported by two threads at once: Python ends the deadlock of their
locks by giving one thread a module that is not whole yet, and the import fails as if the library were not there.
"""

import importlib
import threading

_ONE_AT_A_TIME = threading.Lock()


def import_alone(*modules: str) -> None:
    """Import modules, once no other thread imports by this function; for a thread that may wait.

    Raises:
        ImportError: One of them is not installed.
    """
    with _ONE_AT_A_TIME:
        for module in modules:
            importlib.import_module(module)
