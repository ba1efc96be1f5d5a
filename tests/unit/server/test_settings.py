"""Settings: from the environment, checked, and never telling a password."""

from datetime import timedelta
from pathlib import Path

import pytest

from stageline_engine.blobs import put_bytes
from stageline_engine.limits import CONSUMER_KEPT
from stageline_server.dispatch.settings import PlaneSettings
from stageline_server.settings import Settings, SettingsError, load_settings
from stageline_server.stores import blob_store
from tests.support.object_store import Bucket


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STAGELINE_{name.upper()}", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def test_the_defaults_are_those_of_the_plane() -> None:
    assert load_settings().plane_settings() == PlaneSettings()


def test_runs_are_kept_for_ever_unless_somebody_says_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().plane_settings().retention.runs is None
    monkeypatch.setenv("STAGELINE_RUN_RETENTION", "P30D")
    monkeypatch.setenv("STAGELINE_KEY_RETENTION", "0")
    retention = load_settings().plane_settings().retention
    assert (retention.runs, retention.keys, retention.consumers) == (timedelta(days=30), None, CONSUMER_KEPT)


def test_the_environment_is_read_and_options_go_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGELINE_LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("STAGELINE_DRAIN_DEADLINE", "PT90S")
    monkeypatch.setenv("STAGELINE_SESSION_TIMEOUT", "40")
    monkeypatch.setenv("STAGELINE_DATA_DIR", "")
    settings = load_settings(listen="127.0.0.1:2", log_level=None)
    assert (settings.listen, settings.drain_deadline) == ("127.0.0.1:2", timedelta(seconds=90))
    assert settings.plane_settings().session_timeout == timedelta(seconds=40)
    assert settings.data_dir == Path(".stageline")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STAGELINE_COMMITTERS", "0"),
        ("STAGELINE_COMMITTERS", "many"),
        ("STAGELINE_LOG_LEVEL", "LOUD"),
        ("STAGELINE_DRAIN_DEADLINE", "-1"),
        ("STAGELINE_TRANSACTION_CONNECTIONS", "101"),
        ("STAGELINE_DATABASE_URL", "mysql://here"),
        ("STAGELINE_HEARTBEAT_INTERVAL", "8"),
        ("STAGELINE_BLOB_ENDPOINT", "storage:9000"),
        ("STAGELINE_BLOB_PREFIX", "../others"),
    ],
)
def test_a_wrong_value_names_its_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        load_settings()


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGELINE_COMMITTERS", "0")
    monkeypatch.setenv("STAGELINE_LOG_LEVEL", "LOUD")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "STAGELINE_COMMITTERS" in str(refused.value)
    assert "STAGELINE_LOG_LEVEL" in str(refused.value)


def test_a_password_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGELINE_DATABASE_URL", "postgresql://me:hunter2@db/x")
    assert "hunter2" not in repr(load_settings())
    monkeypatch.setenv("STAGELINE_DATABASE_URL", "oracle://me:hunter2@db/x")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


async def test_large_bytes_go_to_the_data_folder_unless_there_is_a_bucket(
    tmp_path: Path, bucket: Bucket
) -> None:
    await put_bytes(blob_store(load_settings(data_dir=tmp_path)), "a", b"x")
    assert (tmp_path / "blobs").is_dir()
    there = load_settings(blob_bucket=bucket.name, blob_prefix="p/q", blob_endpoint=bucket.endpoint)
    await put_bytes(blob_store(there), "a", b"y")
    assert [entry.key async for entry in bucket.store("p").list()] == ["q/a"]
