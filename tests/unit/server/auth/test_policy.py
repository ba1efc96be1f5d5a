"""Where a server may listen without TLS and tokens, and where it refuses."""

from pathlib import Path

import pytest

from stageline_server.auth.policy import SecurityError, TokenPolicy, is_loopback, security_of
from stageline_server.development import require_loopback
from stageline_server.settings import Settings, SettingsError, load_settings
from tests.support.certificates import Authority


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"STAGELINE_{name.upper()}", raising=False)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("unix:/tmp/s", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("example.org:1", False),
    ],
)
def test_what_only_this_machine_reaches(listen: str, expected: bool) -> None:
    assert is_loopback(listen) is expected


@pytest.mark.parametrize(
    ("listen", "tls", "policy", "insecure", "asks"),
    [
        ("127.0.0.1:0", False, "auto", False, False),
        ("127.0.0.1:0", False, "required", False, True),
        ("127.0.0.1:0", True, "auto", False, False),
        ("0.0.0.0:0", True, "auto", False, True),
        ("0.0.0.0:0", True, "required", False, True),
        ("0.0.0.0:0", False, "auto", True, False),
        ("0.0.0.0:0", False, "required", True, True),
        ("0.0.0.0:0", True, "off", True, False),
    ],
)
def test_what_is_served(
    tmp_path: Path, listen: str, tls: bool, policy: str, insecure: bool, asks: bool
) -> None:
    files = Authority(tmp_path).issue("server")
    certificate = {"tls_cert": files.cert, "tls_key": files.key} if tls else {}
    settings = load_settings(listen=listen, tokens=TokenPolicy(policy), insecure=insecure, **certificate)
    security = security_of(settings)
    assert (security.tokens, security.credentials is not None) == (asks, tls)


@pytest.mark.parametrize(
    ("tls", "policy", "missing"),
    [(False, "auto", "TLS"), (False, "off", "TLS and tokens"), (True, "off", "tokens")],
)
def test_what_is_refused(tmp_path: Path, tls: bool, policy: str, missing: str) -> None:
    files = Authority(tmp_path).issue("server")
    certificate = {"tls_cert": files.cert, "tls_key": files.key} if tls else {}
    settings = load_settings(listen="0.0.0.0:0", tokens=TokenPolicy(policy), **certificate)
    with pytest.raises(SecurityError, match=f"there would be no {missing}[.]"):
        security_of(settings)


def test_halves_and_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="TLS_CERT and STAGELINE_TLS_KEY go together"):
        load_settings(tls_cert=tmp_path / "a")
    with pytest.raises(SettingsError, match="TLS_CLIENT_CA needs"):
        load_settings(tls_client_ca=tmp_path / "a")
    settings = load_settings(tls_cert=tmp_path / "a", tls_key=tmp_path / "b")
    with pytest.raises(SecurityError, match=r"STAGELINE_TLS_KEY: .*b cannot be read: No such file"):
        security_of(settings)


def test_a_development_server_is_for_this_machine() -> None:
    require_loopback("127.0.0.1:7460")
    with pytest.raises(SecurityError, match="listens on this machine only"):
        require_loopback("0.0.0.0:7460")
