"""TLS towards PostgreSQL: a connection has the encryption that was asked for, or is not opened."""

import ssl
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from service.database import DatabaseOptions, InvalidDsn
from service.database.connect import Connector
from service.database.driver_errors import reason
from service.database.options import TlsMode
from service.database.tls import encryption
from tests.support.tls import AUTHORITY, CERTIFICATES, at_a_port

ROOT = f"sslrootcert={AUTHORITY}"
NOT_VERIFIED = "encrypted (TLSv1.3), certificate not verified"
CERTIFICATE = "encrypted (TLSv1.3), certificate verified, host name not"
ALL = "encrypted (TLSv1.3), certificate and host name verified"
REMOTE = "0.0.0.0"


@pytest.fixture(autouse=True)
def _nothing_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No certificates in `~/.postgresql` and no variables of libpq."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "PGSERVICEFILE"):
        monkeypatch.delenv(name, raising=False)


async def _encryption(
    dsn: str, *, configured: TlsMode | None = None, remote: TlsMode = "prefer", password: str | None = None
) -> str:
    connector = Connector(dsn, password, DatabaseOptions(sslmode=configured), remote)
    connection: asyncpg.Connection[asyncpg.Record] = await connector.connect(server_settings={})
    try:
        return encryption(connection)
    finally:
        await connection.close()


def _dsn(port: int, parameters: str = "", host: str = "localhost") -> str:
    return f"postgresql://postgres@{host}:{port}/postgres{parameters and '?'}{parameters}"


@pytest.mark.parametrize(
    ("certificate", "parameters", "words"),
    [
        ("localhost", "", NOT_VERIFIED),
        ("localhost", "sslmode=disable", "not encrypted"),
        ("localhost", "sslmode=allow", "not encrypted"),
        ("localhost", "sslmode=require", NOT_VERIFIED),
        ("self-signed", "sslmode=require", NOT_VERIFIED),
        ("elsewhere", f"sslmode=require&{ROOT}", CERTIFICATE),
        ("elsewhere", f"sslmode=verify-ca&{ROOT}", CERTIFICATE),
        ("localhost", f"sslmode=verify-full&{ROOT}", ALL),
        (None, "", "not encrypted"),
        (None, "sslmode=prefer", "not encrypted"),
    ],
)
async def test_a_connection_has_what_the_dsn_asks_for(
    server_dsn: str, certificate: str | None, parameters: str, words: str
) -> None:
    """Each mode, in the words of `poolkeeper check`."""
    with at_a_port(server_dsn, certificate) as port:
        assert await _encryption(_dsn(port, parameters)) == words


@pytest.mark.parametrize(
    ("certificate", "parameters", "error"),
    [
        (None, "sslmode=require", ConnectionError),
        (None, f"sslmode=verify-full&{ROOT}", ConnectionError),
        ("elsewhere", f"sslmode=verify-full&{ROOT}", ssl.SSLCertVerificationError),
        ("self-signed", f"sslmode=verify-full&{ROOT}", ssl.SSLCertVerificationError),
        ("self-signed", f"sslmode=verify-ca&{ROOT}", ssl.SSLCertVerificationError),
        ("localhost", "sslmode=verify-full", InvalidDsn),
        ("localhost", "sslmode=verify-full&sslrootcert=system", ssl.SSLCertVerificationError),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere/ca.crt", InvalidDsn),
    ],
)
async def test_less_than_was_asked_for_is_no_connection(
    server_dsn: str, certificate: str | None, parameters: str, error: type[Exception]
) -> None:
    """No TLS, a certificate for another host, an untrusted one, and nothing to verify one with."""
    with at_a_port(server_dsn, certificate) as port, pytest.raises(error):
        await _encryption(_dsn(port, parameters))


@pytest.mark.parametrize("parameters", ["sslmode=verify-full&sslrootcert=system", "sslrootcert=system"])
async def test_the_authorities_of_this_machine_can_be_asked(
    server_dsn: str, monkeypatch: pytest.MonkeyPatch, parameters: str
) -> None:
    """As in libpq, `sslrootcert=system` is verified in full, also where nothing else is said."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.crt"))
    with at_a_port(server_dsn, "localhost") as port:
        assert await _encryption(_dsn(port, parameters)) == ALL
        mine = f"&sslcert={quote(str(CERTIFICATES / 'elsewhere.crt'))}&sslkey={quote(str(CERTIFICATES / 'test.key'))}"
        assert await _encryption(_dsn(port, f"{parameters}{mine}")) == ALL
    with at_a_port(server_dsn, "elsewhere") as port, pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        await _encryption(_dsn(port, parameters))


async def test_the_variable_can_ask_the_authorities_of_this_machine(
    server_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGSSLROOTCERT=system, as in libpq: also without a mode; a weaker mode is refused."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "ca.crt"))
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    with at_a_port(server_dsn, "localhost") as port:
        assert await _encryption(_dsn(port)) == ALL
        assert await _encryption(_dsn(port, "sslmode=verify-full")) == ALL
        assert await _encryption(_dsn(port, f"sslmode=verify-ca&{ROOT}")) == CERTIFICATE
        with pytest.raises(InvalidDsn, match="PGSSLROOTCERT=system, which requires sslmode=verify-full"):
            await _encryption(_dsn(port, "sslmode=require"))
    with at_a_port(server_dsn, "elsewhere") as port, pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        await _encryption(_dsn(port, host="127.0.0.1"), remote="require")
    assert await _encryption(server_dsn) == "not encrypted"


@pytest.mark.parametrize("variable", ["PGSSLROOTCERT", "PGSSLCERT"])
async def test_a_file_of_a_variable_that_is_not_there_is_named(
    server_dsn: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Python's error has no name. A socket, which needs no file, is connected to all the same."""
    monkeypatch.setenv(variable, "/nowhere/file.pem")
    with at_a_port(server_dsn, "localhost") as port, pytest.raises(InvalidDsn, match=f"{variable}=/nowhere/file.pem"):
        await _encryption(_dsn(port, "sslmode=require"))
    assert await _encryption(server_dsn) == "not encrypted"


@pytest.mark.parametrize("text", [None, "[other]\nhost=h\n", "host=h\n"])
async def test_a_service_that_no_file_has_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    """Without this check asyncpg ignores it, and connects to the default socket of this machine."""
    file = tmp_path / "services.conf"
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidDsn, match=r"names (the|a) service.*services\.conf"):
        Connector("postgresql:///?service=billing", None, DatabaseOptions())


async def test_a_service_is_connected_to(server_dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the mode that its file has."""
    file = tmp_path / "services.conf"
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    with at_a_port(server_dsn, "localhost") as port:
        file.write_text(f"[billing]\nhost=localhost\nport={port}\nuser=postgres\ndbname=postgres\nsslmode=require\n")
        assert await _encryption("postgresql:///?service=billing") == NOT_VERIFIED


async def test_what_was_set_elsewhere_holds_where_the_dsn_is_silent(
    server_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option, then libpq's variable; and no option weakens or strengthens what the DSN says."""
    with at_a_port(server_dsn, None) as port:
        with pytest.raises(ConnectionError):
            await _encryption(_dsn(port), configured="require")
        monkeypatch.setenv("PGSSLMODE", "require")
        with pytest.raises(ConnectionError):
            await _encryption(_dsn(port))
        assert await _encryption(_dsn(port), configured="prefer") == "not encrypted"
        assert await _encryption(_dsn(port, "sslmode=disable")) == "not encrypted"
        with pytest.raises(InvalidDsn, match="sets sslmode to require, but the options set it to prefer"):
            await _encryption(_dsn(port, "sslmode=require"), configured="prefer")


async def test_in_production_a_remote_server_is_asked_for_tls(
    server_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No connection without TLS unless it is disabled; with `prefer` the log says that it is not encrypted."""
    with at_a_port(server_dsn, None) as port:
        with pytest.raises(ConnectionError, match="set sslmode=disable in the DSN"):
            await _encryption(_dsn(port, host=REMOTE), remote="require")
        with pytest.raises(ConnectionRefusedError) as caught:
            await _encryption(_dsn(1, host=REMOTE), remote="require")
        assert "TLS" not in str(caught.value)
        assert await _encryption(_dsn(port, host="127.0.0.1"), remote="require") == "not encrypted"
        assert await _encryption(_dsn(port, "sslmode=disable", REMOTE), remote="require") == "not encrypted"
        assert caplog.text == ""
        assert await _encryption(_dsn(port, "sslmode=prefer", REMOTE), remote="require") == "not encrypted"
        assert "NOT ENCRYPTED" in caplog.text
    with at_a_port(server_dsn, "self-signed") as port:
        assert await _encryption(_dsn(port, host=REMOTE), remote="require") == NOT_VERIFIED
    assert await _encryption(server_dsn, remote="require") == "not encrypted"


async def test_a_server_of_the_variables_is_remote_or_not(server_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGHOST names the server where the DSN names none."""
    with at_a_port(server_dsn, None) as port:
        monkeypatch.setenv("PGPORT", str(port))
        monkeypatch.setenv("PGHOST", REMOTE)
        with pytest.raises(ConnectionError, match="set sslmode=disable in the DSN"):
            await _encryption("postgresql:///postgres?user=postgres", remote="require")
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        assert await _encryption("postgresql:///postgres?user=postgres", remote="require") == "not encrypted"


async def test_a_variable_that_asyncpg_does_not_understand_is_named(
    server_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log and the error have the driver's message: the driver gets no secret in a DSN."""
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "primry")
    with pytest.raises(asyncpg.ClientConfigurationError) as caught:
        await _encryption(server_dsn)
    assert "primry" in reason(caught.value)


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_unix_socket_needs_no_tls(server_dsn: str, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """As in libpq: a mode that the shell has set for servers elsewhere is no hindrance."""
    monkeypatch.setenv("PGSSLMODE", mode)
    assert await _encryption(server_dsn) == "not encrypted"
    assert await _encryption(f"{server_dsn}&sslmode={mode}") == "not encrypted"


async def test_an_empty_pgsslmode_is_as_unset(server_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which asyncpg takes for a mode."""
    monkeypatch.setenv("PGSSLMODE", "")
    with at_a_port(server_dsn, "localhost") as port:
        assert await _encryption(_dsn(port)) == NOT_VERIFIED
