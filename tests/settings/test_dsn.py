"""The DSN beside the other settings: it beats every default, and two that differ end the start."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import commands
from service.settings import ConfigurationError, Settings, shown

DSN = "postgresql://app:hunter2@db.example/app"


def _shown() -> dict[str, tuple[str, str]]:
    settings = Settings()
    return {key: (value, settings.origin(key)) for key, value in shown(settings)}


@pytest.mark.parametrize("environment", ["development", "test", "production"])
def test_what_the_dsn_says_is_in_force_and_shown_with_its_origin(
    monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    """In every environment, with the files as they are shipped: none of them has a default that goes before."""
    monkeypatch.setenv("POOLKEEPER_ENV", environment)
    monkeypatch.setenv(
        "DATABASE_URL",
        f"{DSN}?sslmode=verify-full&application_name=billing&connect_timeout=9&pgbouncer=true"
        "&options=-c%20statement_timeout%3D7s&idle_in_transaction_session_timeout=1min",
    )
    values = _shown()
    origin = "database.dsn, environment variable DATABASE_URL"
    assert values["database.sslmode"] == ("verify-full", origin)
    assert values["database.application_name"] == ("billing", origin)
    assert values["database.connect_timeout"] == ("9.0", origin)
    assert values["database.statement_timeout"] == ("7.0", origin)
    assert values["database.idle_in_transaction_timeout"] == ("60.0", origin)
    assert values["database.statement_cache_size"] == ("0", origin)
    assert values["database.acquire_timeout"] == ("5.0", "default")


@pytest.mark.parametrize(
    ("name", "setting", "parameter", "message"),
    [
        ("SSLMODE", "prefer", "sslmode=verify-full", r"database\.sslmode \(.*__SSLMODE\) is prefer, .* verify-full"),
        ("SSLMODE", "verify-full", "sslmode=disable", r"database\.sslmode \(.*__SSLMODE\) is verify-full, .* disable"),
        ("APPLICATION_NAME", "poolkeeper", "application_name=a", r"database\.application_name .* is poolkeeper, .* a"),
        ("STATEMENT_TIMEOUT", "20", "statement_timeout=30s", r"database\.statement_timeout .* is 20\.0, .* 30\.0"),
        ("STATEMENT_TIMEOUT", "20", "options=--statement-timeout%3D0", r"database\.statement_timeout .* 0\.0"),
        ("CONNECT_TIMEOUT", "5", "connect_timeout=10", r"database\.connect_timeout .* is 5\.0, .* 10\.0"),
        ("STATEMENT_CACHE_SIZE", "100", "statement_cache_size=50", r"database\.statement_cache_size .* is 100, .* 50"),
        ("STATEMENT_CACHE_SIZE", "100", "pgbouncer=true", r"database\.statement_cache_size .* is 100, .* 0"),
    ],
)
@pytest.mark.usefixtures("config")
def test_two_that_differ_end_the_start_with_both_sources(
    monkeypatch: pytest.MonkeyPatch, name: str, setting: str, parameter: str, message: str
) -> None:
    """Also where the setting says what the default says: somebody wrote it."""
    monkeypatch.setenv("DATABASE_URL", f"{DSN}?{parameter}")
    monkeypatch.setenv(f"POOLKEEPER_DATABASE__{name}", setting)
    with pytest.raises(ConfigurationError, match=message) as caught:
        Settings()
    assert "database.dsn (environment variable DATABASE_URL)" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("config")
def test_two_that_agree_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whichever unit."""
    monkeypatch.setenv("DATABASE_URL", f"{DSN}?sslmode=require&statement_timeout=15000&connect_timeout=5")
    monkeypatch.setenv("POOLKEEPER_DATABASE__SSLMODE", "require")
    monkeypatch.setenv("POOLKEEPER_DATABASE__STATEMENT_TIMEOUT", "15")
    monkeypatch.setenv("POOLKEEPER_DATABASE__CONNECT_TIMEOUT", "5")
    monkeypatch.setenv("POOLKEEPER_DATABASE__PASSWORD", "hunter2")
    assert Settings().origin("database.sslmode") == "environment variable POOLKEEPER_DATABASE__SSLMODE"


def test_a_second_password_ends_the_start_unless_it_is_there_to_be_rotated(
    config: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of them is in the message. One in a file may be newer than the DSN's, and goes before it."""
    monkeypatch.setenv("DATABASE_URL", DSN)
    monkeypatch.setenv("POOLKEEPER_DATABASE__PASSWORD", "hunter3")
    with pytest.raises(
        ConfigurationError, match=r"database\.password \(.*__PASSWORD\) is not the password in"
    ) as caught:
        Settings()
    assert "hunter" not in str(caught.value)
    monkeypatch.delenv("POOLKEEPER_DATABASE__PASSWORD")
    (secrets / "database__password").write_text("hunter4")
    assert Settings().database_password() == "hunter4"


@pytest.mark.usefixtures("config")
def test_libpqs_variables_fill_in_what_nobody_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are defaults, as in libpq: stronger than ours, weaker than a setting or the DSN."""
    monkeypatch.setenv("PGSSLMODE", "require")
    monkeypatch.setenv("PGAPPNAME", "from libpq")
    monkeypatch.setenv("DATABASE_URL", DSN)
    values = _shown()
    assert values["database.sslmode"] == ("require", "environment variable PGSSLMODE")
    assert values["database.application_name"] == ("from libpq", "environment variable PGAPPNAME")
    monkeypatch.setenv("DATABASE_URL", f"{DSN}?sslmode=verify-full")
    monkeypatch.setenv("POOLKEEPER_DATABASE__APPLICATION_NAME", "from here")
    values = _shown()
    assert values["database.sslmode"] == ("verify-full", "database.dsn, environment variable DATABASE_URL")
    assert values["database.application_name"][0] == "from here"


@pytest.mark.parametrize(
    ("variable", "unmet", "met"),
    [
        ("PGCHANNELBINDING", "require", "prefer"),
        ("PGGSSENCMODE", "require", "disable"),
        ("PGREQUIREAUTH", "scram-sha-256", ""),
    ],
)
@pytest.mark.usefixtures("config")
def test_protection_that_asyncpg_does_not_have_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, unmet: str, met: str
) -> None:
    """Rather than left out without a word."""
    monkeypatch.setenv(variable, met)
    Settings()
    monkeypatch.setenv(variable, unmet)
    with pytest.raises(ConfigurationError, match=f"environment variable {variable}: asyncpg does not support it"):
        Settings()


@pytest.mark.parametrize(
    ("variable", "wrong", "right"),
    [
        ("PGSSLMODE", "VERIFY-FULL", "verify-full"),
        ("PGSSLNEGOTIATION", "quick", "direct"),
        ("PGTARGETSESSIONATTRS", "primry", "primary"),
        ("PGPORT", "abc", "5433,5434"),
        ("PGPORT", "0", "5432"),
    ],
)
@pytest.mark.usefixtures("config")
def test_a_misspelt_variable_of_libpq_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, variable: str, wrong: str, right: str
) -> None:
    """Each connection would fail with it. Without a DSN, the embedded server has nothing to do with it."""
    monkeypatch.setenv(variable, wrong)
    Settings()
    monkeypatch.setenv("DATABASE_URL", DSN)
    with pytest.raises(ConfigurationError, match=f"environment variable {variable}: must be"):
        Settings()
    monkeypatch.setenv(variable, right)
    Settings()


def test_a_contradiction_is_status_78(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One message, no traceback."""
    monkeypatch.setenv("DATABASE_URL", f"{DSN}?sslmode=verify-full")
    monkeypatch.setenv("POOLKEEPER_DATABASE__SSLMODE", "prefer")
    monkeypatch.setattr("sys.argv", ["poolkeeper", "config"])
    with pytest.raises(SystemExit, match="78"):
        commands.main()
    assert capsys.readouterr().err.startswith("Configuration error: database.sslmode (")


def test_a_setting_alone_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a DSN that is silent."""
    monkeypatch.setenv("DATABASE_URL", DSN)
    output = CliRunner().invoke(commands.app, ["config"]).output
    assert "database.sslmode = not set    # default" in output
    assert "database.application_name = poolkeeper    # default" in output
