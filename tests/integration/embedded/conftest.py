"""Folders for the tests of the embedded database."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stageline_server.embedded.instance import Instance, new_instance


@pytest.fixture(scope="session")
def _made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that was used once; making one takes a second, copying it a tenth."""
    folder = tmp_path_factory.mktemp("embedded") / "made"
    instance = new_instance(folder)
    instance.start()
    instance.stop()
    return folder


@pytest.fixture
def used_dir(_made_folder: Path, tmp_path: Path) -> Path:
    """A data folder of this test's own, made and cleanly stopped before."""
    folder = tmp_path / "data"
    subprocess.run(["cp", "-a", str(_made_folder), str(folder)], check=True)
    return folder


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A folder that every account can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="stageline-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _shared(_made_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("embedded") / "shared"
    subprocess.run(["cp", "-a", str(_made_folder), str(folder)], check=True)
    instance = new_instance(folder)
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture
def shared_dsn(_shared: Instance) -> str:
    """A database that runs for all tests that only look."""
    return _shared.dsn("stageline")


@pytest.fixture
def shared_pid(_shared: Instance) -> int:
    """Its main process."""
    assert _shared.process is not None
    return _shared.process.pid
