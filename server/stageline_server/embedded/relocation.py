"""A copy of the binaries where another account can reach them.

A virtual environment under /root, or in any folder closed to others, holds binaries that the account which
root hands over to cannot run. Opening the folders for it would let everybody in, so root keeps a copy of
the few files that matter (about 30 MB) in the machine's cache, one per version.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stageline_server.embedded.accounts import Account
from stageline_server.embedded.binaries import Binaries, find_bin_dir, load_binaries
from stageline_server.embedded.errors import DataFolderAccessError

CACHE_DIR = Path("/var/cache/stageline")
PROGRAMS = frozenset({"postgres", "initdb"})


def runnable_binaries(account: Account, environment: Mapping[str, str]) -> Binaries:
    """Finds the binaries, and copies them if the account cannot run them where they are.

    Args:
        account: The account that is to run them.
        environment: Environment variables; see `find_bin_dir`.

    Raises:
        BinariesNotFoundError: There are none.
        DataFolderAccessError: The account cannot run them, and a copy does not help or cannot be made.
    """
    bin_dir = find_bin_dir(environment)
    try:
        return load_binaries(bin_dir, account)
    except DataFolderAccessError:
        if not account.is_other or not account.can_enter(Path("/")):
            raise
        return load_binaries(relocate(bin_dir), account)


def relocate(bin_dir: Path, cache_dir: Path = CACHE_DIR) -> Path:
    """Copies an installation into the cache, unless it is there, and returns its new bin folder.

    Args:
        bin_dir: The folder of `postgres` and `initdb`.
        cache_dir: Where copies are kept; made if missing, open to everybody for reading.

    Raises:
        DataFolderAccessError: The cache cannot be written.
    """
    status = (bin_dir / "postgres").stat()
    target = cache_dir / f"postgres-{status.st_size:x}-{status.st_mtime_ns:x}"
    try:
        if not target.exists():
            _copy(bin_dir, target)
    except OSError as error:
        raise DataFolderAccessError(
            f"the PostgreSQL programs in {bin_dir} are closed to the account that must run them, "
            f"and copying them to {cache_dir} failed: {error}"
        ) from error
    return _moved(bin_dir, target)


def _moved(bin_dir: Path, target: Path) -> Path:
    install = bin_dir.parent
    return target / install.parent.name / install.name / bin_dir.name


def _copy(bin_dir: Path, target: Path) -> None:
    """Copies beside the target and renames, so that a target that exists is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    install, package = bin_dir.parent, bin_dir.parent.parent
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copying-") as work:
        tree = Path(work) / "tree"
        for part in ("lib", "share"):
            shutil.copytree(install / part, tree / package.name / install.name / part, ignore=_unneeded)
        programs = _moved(bin_dir, tree)
        programs.mkdir()
        for program in PROGRAMS:
            shutil.copy2(bin_dir / program, programs / program)
        # Wheels keep the shared libraries of their programs in PACKAGE.libs, found by a relative path.
        libraries = package.parent / f"{package.name}.libs"
        if libraries.exists():
            shutil.copytree(libraries, tree / libraries.name)
        _open_for_reading(tree)
        try:
            tree.rename(target)
        except OSError:
            if not target.exists():  # else another process was faster, with the same files
                raise


def _unneeded(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name.endswith(".a") or name in {"pgxs", "pkgconfig"}}


def _open_for_reading(tree: Path) -> None:
    tree.chmod(0o755)
    for folder, folders, files in os.walk(tree):
        for name in folders:
            (Path(folder) / name).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
