"""Finding the worker, or the models, that `module:attribute` names."""

import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from stageline_cli.exit_codes import ExitCode
from stageline_cli.failures import CommandError
from stageline_sdk import BuiltWorkflow, StagelineError, Workflow

if TYPE_CHECKING:
    from stageline_sdk import Worker
    from stageline_sdk.ai import ModelRegistry

ATTRIBUTE_DEFAULT = "worker"


def load_worker(target: str) -> "Worker":
    """Imports a module, with the current folder on the path, and returns the worker in it.

    Args:
        target: `module:attribute`; without an attribute, `worker` is meant.

    Raises:
        CommandError: There is no such module or attribute, it is no worker, or the module cannot be imported.
    """
    from stageline_sdk import Worker

    found = _found(target, ATTRIBUTE_DEFAULT, "worker")
    if isinstance(found, Worker):
        return found
    if isinstance(found, BuiltWorkflow | Workflow):
        attribute = target.partition(":")[2] or ATTRIBUTE_DEFAULT
        built = attribute if isinstance(found, BuiltWorkflow) else f"{attribute}.build()"
        raise CommandError(
            f"{target} is a workflow, not a worker; add to the module: worker = Worker({built})",
            ExitCode.USAGE,
        )
    raise CommandError(f"{target} is no stageline_sdk.Worker but a {type(found).__name__}", ExitCode.USAGE)


def load_models(target: str) -> "ModelRegistry":
    """Imports a module as `load_worker` does, and returns the model registry in it, or that of a worker.

    Args:
        target: `module:attribute`; without an attribute, `worker` is meant.

    Raises:
        CommandError: As for `load_worker`.
    """
    from stageline_sdk import Worker
    from stageline_sdk.ai import ModelRegistry

    found = _found(target, ATTRIBUTE_DEFAULT, "models list")
    if isinstance(found, Worker):
        return found.models or ModelRegistry()
    if isinstance(found, ModelRegistry):
        return found
    raise CommandError(
        f"{target} is neither a stageline_sdk.ai.ModelRegistry nor a Worker but a {type(found).__name__}",
        ExitCode.USAGE,
    )


def _found(target: str, default: str, command: str) -> object:
    """Returns what `module:attribute` names."""
    module_name, _, attribute = target.partition(":")
    attribute = attribute or default
    if module_name.endswith(".py") or "/" in module_name:
        suggestion = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise CommandError(
            f"name the module, not its file: stageline {command} {suggestion}:{attribute}", ExitCode.USAGE
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = _import(module_name, folder)
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise CommandError(
                f"module {module_name!r} has no {attribute!r}{_workers_in(module)}", ExitCode.USAGE
            )
        found = getattr(found, part)
    return found


def _import(module_name: str, folder: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            message = f"there is no module {module_name!r}, neither installed nor in {folder}"
            raise CommandError(message, ExitCode.USAGE) from error
        message = f"module {module_name!r} needs {error.name!r}, which is not installed"
        raise CommandError(message, ExitCode.USAGE) from error
    except StagelineError as error:
        raise CommandError(f"module {module_name!r}: {error}", ExitCode.USAGE) from error
    except Exception as error:  # a user's module may raise anything when it is imported
        traceback.print_exc()
        message = f"module {module_name!r} could not be imported: {type(error).__name__}: {error}"
        raise CommandError(message, ExitCode.USAGE) from error


def _workers_in(module: object) -> str:
    """Returns the names of the workers that a module does have, as the end of a sentence."""
    from stageline_sdk import Worker

    names = [name for name, value in vars(module).items() if isinstance(value, Worker)]
    return f"; its workers: {', '.join(names)}" if names else "; add: worker = Worker(my_workflow)"
