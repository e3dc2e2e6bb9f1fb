"""Configuration: where values come from, and what is said of a mistake."""

from pathlib import Path

import pytest

from containers import Container
from service.app import create_app
from service.auth.settings import EXAMPLE_KEY
from service.settings import ConfigurationError, Settings, shown

DSN = "postgresql://app:hunter2@db.example/app"


def test_sources_go_before_one_another_as_documented(
    config: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment, DATABASE_URL, secrets, the environment's file, the base file, defaults; each value knows its source."""

    def dsn() -> tuple[str | None, str]:
        settings = Settings()
        return settings.dsn(), settings.origin("database.dsn")

    assert dsn() == (None, "default")
    (config / "base.toml").write_text("[database]\ndsn = 'postgresql://base'\nmax_size = 3")
    assert dsn() == ("postgresql://base", str(config / "base.toml"))
    (config / "development.toml").write_text("[database]\ndsn = 'postgresql://development'")
    assert dsn() == ("postgresql://development", str(config / "development.toml"))
    (secrets / "database__dsn").write_text("postgresql://secret\n")
    assert dsn() == ("postgresql://secret", f"secret file {secrets / 'database__dsn'}")
    monkeypatch.setenv("DATABASE_URL", "postgresql://url")
    assert dsn() == ("postgresql://url", "environment variable DATABASE_URL")
    monkeypatch.setenv("POOLKEEPER_DATABASE__DSN", "postgresql://variable")
    assert dsn() == ("postgresql://variable", "environment variable POOLKEEPER_DATABASE__DSN")
    assert Settings().database.max_size == 3


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("base.toml", "[database]\nmax_sise = 3", r"^database\.max_sise \(.*base\.toml\): there is no such setting$"),
        ("base.toml", "[databsae]\nmax_size = 3", r"^databsae \(.*base\.toml\): there is no such setting$"),
        ("development.toml", "[database]\nmax_size = 'x'", r"^database\.max_size \(.*development\.toml\): .*integer"),
        (
            "development.toml",
            "[database]\nacquire_timeout = -1",
            r"database\.acquire_timeout .* greater than or equal to 0",
        ),
        (
            "development.toml",
            "[database]\nmin_size = 50",
            r"database .*: min_size \(50\) is larger than max_size \(10\)",
        ),
        ("development.toml", "[database\n", r"development\.toml: not valid TOML"),
        ("development.toml", "database = 7", r"^database \(.*development\.toml\): "),
    ],
)
def test_a_mistake_in_a_file_is_one_message_with_key_and_source(
    config: Path, file: str, text: str, message: str
) -> None:
    """A misspelt key, a bad value, a file that is not TOML."""
    (config / file).write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        Settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "POOLKEEPER_DATABASE__MAX_SISE",
            "3",
            r"^database\.max_sise \(environment variable POOLKEEPER_DATABASE__MAX_SISE\): ",
        ),
        (
            "POOLKEEPER_DATABSAE__MAX_SIZE",
            "3",
            r"^environment variable POOLKEEPER_DATABSAE__MAX_SIZE: there is no setting",
        ),
        (
            "POOLKEEPER_DATABASE__MAX_SIZE",
            "many",
            r"^database\.max_size \(environment variable .*__MAX_SIZE\): .*integer",
        ),
        ("POOLKEEPER_DATABASE", "{", r"database"),
        ("POOLKEEPER_ENVIRONMENT", "test", "there is no setting"),
        ("POOLKEEPER_ENV", "staging", r"staging\.toml: the file is missing"),
        ("POOLKEEPER_CONFIG_DIR", "/nowhere", r"^POOLKEEPER_CONFIG_DIR: there is no folder /nowhere$"),
        ("POOLKEEPER_SECRETS_DIR", "/nowhere", r"^POOLKEEPER_SECRETS_DIR: there is no folder /nowhere$"),
        (
            "DATABASE_URL",
            "mysql://u:hunter2@h/d",
            r"^database\.dsn \(environment variable DATABASE_URL\): must start with",
        ),
        ("POOLKEEPER_DATABASE__STATEMENT_TIMEOUT", "inf", "less than or equal"),
        ("poolkeeper_databsae__dsn", "x", "there is no setting"),
        ("Poolkeeper_Env", "production", "there is no setting"),
        ("DATABASE_URL", "postgresql://u:hunter2#x@localhost/d", "has an invalid host or port"),
        ("DATABASE_URL", "postgresql://u:hunter2/x@localhost/d", "has an invalid host or port"),
        ("DATABASE_URL", "postgresql://u:hunter2\uff1a@h/d", "is not a URL"),
        ("DATABASE_URL", "postgresql://u:hunter2@h:notaport/d", "has an invalid host or port"),
        ("DATABASE_URL", "postgresql://u:hunter2@h:99999/d", "has an invalid host or port"),
        ("DATABASE_URL", "postgresql://u:hunter2@h/d?sslmode=bogus", "sslmode that is not one of disable"),
        ("DATABASE_URL", "postgresql+asyncpg://u:hunter2@h/d", "leave out the driver's name"),
        (
            "DATABASE_URL",
            "postgresql://u:hunter2@h/d?keepalives=1",
            "has keepalives: asyncpg does not support it in a DSN",
        ),
    ],
)
def test_a_mistake_in_the_environment_is_one_message(
    config: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """The variable is named, and no secret is."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=message) as caught:
        Settings()
    assert "hunter2" not in str(caught.value)


def test_production_has_no_default_database(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No DSN, no start; and it never migrates at start."""
    monkeypatch.setenv("POOLKEEPER_ENV", "production")
    with pytest.raises(ConfigurationError, match=r"database\.dsn: production has no default: set DATABASE_URL"):
        Settings()
    monkeypatch.setenv("DATABASE_URL", DSN)
    monkeypatch.setenv("POOLKEEPER_HTTP__ALLOWED_HOSTS", "api.example.com")
    assert not Settings().migrate_on_start
    monkeypatch.setenv("POOLKEEPER_DATABASE__MIGRATE_ON_START", "true")
    with pytest.raises(ConfigurationError, match=r"database\.migrate_on_start: not allowed in production"):
        Settings()


KEY = "A9b8C7d6E5f4G3h2I1j0K9l8M7n6O5p4"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AUTH__MODE", "open", r"auth\.mode: 'open' is not allowed in production; use 'token'"),
        ("AUTH__KEY", "short", r"auth\.key \(environment variable POOLKEEPER_AUTH__KEY\): .* at least 32"),
        ("AUTH__KEY", "this-is-only-an-EXAMPLE-of-such-a-key", r"auth\.key: looks like an example; make one with"),
        ("AUTH__KEY", "changeme" * 4, r"auth\.key: looks like an example"),
        ("AUTH__KEY", "a" * 40, r"auth\.key: looks like an example"),
        ("AUTH__PREVIOUS_KEY", "a" * 40, r"auth\.previous_key: looks like an example"),
        ("AUTH__PREVIOUS_KEY", EXAMPLE_KEY, r"auth\.previous_key: looks like an example"),
        ("DIAGNOSTICS__ENABLED", "true", r"diagnostics\.enabled: not allowed in production"),
    ],
)
def test_production_refuses_what_would_let_strangers_in(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """One readable message each, without the value."""
    monkeypatch.setenv("POOLKEEPER_ENV", "production")
    monkeypatch.setenv("DATABASE_URL", DSN)
    monkeypatch.setenv("POOLKEEPER_AUTH__KEY", KEY)
    monkeypatch.setenv("POOLKEEPER_HTTP__ALLOWED_HOSTS", "api.example.com")
    Settings().require_for_serving()
    monkeypatch.setenv(f"POOLKEEPER_{variable}", value)
    with pytest.raises(ConfigurationError, match=message) as caught:
        Settings()
    assert "KEY" not in variable or value not in str(caught.value)


def test_production_does_not_serve_without_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration needs none; a server does."""
    monkeypatch.setenv("POOLKEEPER_ENV", "production")
    monkeypatch.setenv("DATABASE_URL", DSN)
    assert Settings().environment == "production"
    with pytest.raises(ConfigurationError, match=r"auth\.key: production has no default: set POOLKEEPER_AUTH__KEY"):
        create_app(Container())


@pytest.mark.parametrize("environment", ["development", "test", "production"])
def test_the_shipped_files_are_valid(monkeypatch: pytest.MonkeyPatch, environment: str) -> None:
    """Each of the four files, as it is in the repository."""
    monkeypatch.setenv("POOLKEEPER_ENV", environment)
    monkeypatch.setenv("DATABASE_URL", DSN)
    if environment == "production":
        monkeypatch.setenv("POOLKEEPER_HTTP__ALLOWED_HOSTS", "api.example.com")
    settings = Settings()
    assert settings.environment == environment
    assert settings.migrate_on_start == (environment != "production")
    assert settings.diagnostics.enabled == (environment == "development")
    assert settings.documentation_enabled == (environment != "production")
    assert settings.auth_mode == ("token" if environment == "production" else "open")


def test_no_config_folder_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside the checkout the defaults hold; an unknown environment is still refused."""
    monkeypatch.setattr("service.settings.sources._FOLDERS", (tmp_path / "config",))
    assert Container().settings().database.max_size == 10
    monkeypatch.setenv("POOLKEEPER_ENV", "prodution")
    with pytest.raises(ConfigurationError, match="'prodution' is not one of development, production, test"):
        Settings()


def test_files_are_found_from_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is started elsewhere still has the configuration beside its code; a folder at hand goes before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POOLKEEPER_ENV", "development")
    assert Settings().diagnostics.enabled
    (tmp_path / "config").mkdir()
    with pytest.raises(ConfigurationError, match=r"^config/development\.toml: the file is missing"):
        Settings()


def test_secrets_are_masked_wherever_settings_are_shown(
    config: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the repr, and in what `poolkeeper config` prints."""
    monkeypatch.setenv("DATABASE_URL", DSN)
    (secrets / "database__password").write_text("hunter3")
    settings = Settings()
    text = repr(settings) + str(dict(shown(settings))) + str(settings.database)
    assert "hunter" not in text
    assert dict(shown(settings))["database.dsn"] == "**********"


def test_a_secret_that_is_rotated_is_read_anew(config: Path, secrets: Path) -> None:
    """The password and the DSN come from their files each time; a file that is gone is an error that names it."""
    (secrets / "database__dsn").write_text(DSN)
    (secrets / "database__password").write_text("first\n")
    settings = Settings()
    assert (settings.dsn(), settings.database_password()) == (DSN, "first")
    (secrets / "database__password").write_text("second\n")
    assert settings.database_password() == "second"
    (secrets / "database__password").unlink()
    with pytest.raises(ConfigurationError, match="database__password: the secret cannot be read"):
        settings.database_password()


def test_an_unknown_secret_is_refused(config: Path, secrets: Path) -> None:
    """A misspelt file in the secrets directory is named."""
    misspelt = secrets / "database__pasword"
    misspelt.write_text("x")
    with pytest.raises(ConfigurationError, match=r"database\.pasword \(secret file .*database__pasword\)"):
        Settings()
    misspelt.rename(secrets / "poolkeeper_database__password")
    with pytest.raises(
        ConfigurationError, match=r"secret file .*: there is no setting 'poolkeeper_database__password'"
    ):
        Settings()


def test_a_file_that_cannot_be_read_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a traceback; root can read everything, so the refusal is made here."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("service.settings.sources.TomlConfigSettingsSource", refuse)
    with pytest.raises(ConfigurationError, match=r"development\.toml: cannot be read: Permission denied"):
        Settings()


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:p%23%2F@h:5432/d", "postgres://u@[::1]:5432/d", "postgresql://u@[::1]/d", "postgresql://h1:1,h2:2/d",
        "postgresql:///d?host=/run/postgresql", "postgresql://u:@/d?host=/tmp/x",
    ],
)  # fmt: skip
def test_a_dsn_that_asyncpg_understands_is_taken(config: Path, monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    """Escaped passwords, IPv6, several hosts, sockets."""
    monkeypatch.setenv("DATABASE_URL", dsn)
    assert Settings().dsn() == dsn


def test_folders_and_hidden_files_among_the_secrets_are_passed_over(config: Path, secrets: Path) -> None:
    """Kubernetes keeps its versions of a secret in such."""
    (secrets / "..2026_11_20").mkdir()
    (secrets / "..data").symlink_to(secrets / "..2026_11_20")
    (secrets / "database__password").write_text("hunter2")
    assert Settings().database_password() == "hunter2"


def test_a_secret_whose_link_leads_nowhere_is_named(config: Path, secrets: Path) -> None:
    """Passed over, it would be a default's turn, or nobody's."""
    (secrets / "auth__key").symlink_to(secrets / "..data" / "auth__key")
    with pytest.raises(ConfigurationError, match="auth__key: the secret cannot be read: No such file"):
        Settings()


def test_a_secret_may_begin_with_a_byte_order_mark(config: Path, secrets: Path) -> None:
    """As Windows' editors and PowerShell write it."""
    (secrets / "database__password").write_text("hunter2\r\n", encoding="utf-8-sig")
    assert Settings().database_password() == "hunter2"


def test_a_secret_that_is_not_text_is_named(config: Path, secrets: Path) -> None:
    """Without a traceback, and without its content."""
    (secrets / "database__password").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="database__password: the secret is not text in UTF-8"):
        Settings()


def test_values_given_in_code_go_before_all(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Settings(...)` in a script or a test wins over the environment."""
    monkeypatch.setenv("POOLKEEPER_DATABASE__MAX_SIZE", "3")
    settings = Settings(database={"max_size": 4})
    assert (settings.database.max_size, settings.origin("database.max_size")) == (4, "argument")
    assert Settings(database={"dsn": None}).dsn() is None


@pytest.mark.parametrize(("pool", "bulk", "slots"), [(10, None, 2), (2, None, 1), (1, None, 0), (10, 9, 9), (3, 0, 0)])
def test_imports_and_exports_never_have_all_connections(config: Path, pool: int, bulk: int | None, slots: int) -> None:
    """Two of them hold one each where nothing is set, and in a small pool fewer."""
    assert Settings(database={"min_size": 0, "max_size": pool}, bulk={"max_exports": bulk}).bulk_slots == slots


def test_as_many_imports_and_exports_as_connections_are_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection at least is left to everybody else."""
    monkeypatch.setenv("POOLKEEPER_BULK__MAX_EXPORTS", "10")
    with pytest.raises(ConfigurationError, match=r"bulk\.max_exports: must be below database\.max_size.* at most 9"):
        Settings()


@pytest.mark.parametrize("empty", ["", " ", "\n"])
@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_URL", "POOLKEEPER_ENV", "POOLKEEPER_CONFIG_DIR", "POOLKEEPER_SECRETS_DIR", "POOLKEEPER_DATABASE", "PGSSLMODE",
        "POOLKEEPER_DATABASE__DSN", "POOLKEEPER_DATABASE__PASSWORD", "POOLKEEPER_DATABASE__MAX_SIZE", "PGAPPNAME",
        "POOLKEEPER_DATABASE__SSLMODE", "POOLKEEPER_DATABASE__APPLICATION_NAME", "POOLKEEPER_DATABASE__MIGRATE_ON_START",
        "POOLKEEPER_HTTP__ALLOWED_HOSTS", "POOLKEEPER_AUTH__PREVIOUS_KEY", "POOLKEEPER_UNKNOWN__KEY",
        "poolkeeper_database__max_size",
    ],
)  # fmt: skip
def test_an_empty_variable_is_as_unset(monkeypatch: pytest.MonkeyPatch, name: str, empty: str) -> None:
    """Compose passes on what is not there as `NAME=`. Every value and its origin are as without it."""

    def everything() -> dict[str, tuple[str, str]]:
        settings = Settings()
        return {key: (value, settings.origin(key)) for key, value in shown(settings)}

    monkeypatch.delenv("POOLKEEPER_ENV")
    without = everything()
    monkeypatch.setenv(name, empty)
    assert everything() == without


def test_an_empty_variable_hides_nothing(config: Path, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a weaker source says holds; an empty secret is as unset too."""
    (config / "development.toml").write_text("[http]\nallowed_hosts = ['a.example']\n[database]\npassword = 'hunter2'")
    (secrets / "database__dsn").write_text(DSN.replace("hunter2", "secret"))
    (secrets / "database__password").write_text("\n")
    for name in ("POOLKEEPER_DATABASE__DSN", "DATABASE_URL", "POOLKEEPER_HTTP__ALLOWED_HOSTS"):
        monkeypatch.setenv(name, "")
    with pytest.raises(ConfigurationError, match=r"database\.password \(.*development\.toml\) is not the password in"):
        Settings()
    (secrets / "database__dsn").write_text(DSN)
    settings = Settings()
    assert (settings.dsn(), settings.database_password()) == (DSN, "hunter2")
    assert settings.http.allowed_hosts == ("a.example",)


def test_two_variables_of_one_setting_must_agree(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names differ in case alone, so either might be meant."""
    monkeypatch.setenv("POOLKEEPER_DATABASE__MAX_SIZE", "3")
    monkeypatch.setenv("poolkeeper_database__max_size", "3")
    assert Settings().database.max_size == 3
    monkeypatch.setenv("poolkeeper_database__max_size", "4")
    with pytest.raises(ConfigurationError, match="POOLKEEPER_DATABASE__MAX_SIZE and poolkeeper_database__max_size are"):
        Settings()


def test_a_variable_of_a_whole_group_is_named_as_the_origin(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside those of single keys."""
    monkeypatch.setenv("POOLKEEPER_DATABASE", '{"max_size": 42}')
    monkeypatch.setenv("POOLKEEPER_DATABASE__MIN_SIZE", "7")
    settings = Settings()
    assert settings.origin("database.max_size") == "environment variable POOLKEEPER_DATABASE"
    assert settings.origin("database.min_size") == "environment variable POOLKEEPER_DATABASE__MIN_SIZE"


@pytest.mark.parametrize("name", ["DATABASE__PASSWORD", "Database__Password", "database__password"])
def test_a_secret_may_be_named_in_any_case(config: Path, secrets: Path, name: str) -> None:
    """It is read anew all the same, and its origin is the file as it is named."""
    (secrets / "..2026").mkdir()
    (secrets / "..2026" / name).write_text("hunter2\n")
    (secrets / "..data").symlink_to(secrets / "..2026")
    (secrets / name).symlink_to(secrets / "..data" / name)
    (secrets / ".hidden").write_text("x")
    settings = Settings()
    assert settings.database_password() == "hunter2"
    assert settings.origin("database.password") == f"secret file {secrets / name}"
    (secrets / "..2026" / name).write_text("hunter3")
    assert settings.database_password() == "hunter3"


def test_secrets_that_differ_in_case_alone_are_refused(config: Path, secrets: Path) -> None:
    """Either might be the one that was rotated."""
    (secrets / "database__password").write_text("hunter2")
    (secrets / "DATABASE__PASSWORD").write_text("hunter2")
    if len(list(secrets.iterdir())) == 1:  # pragma: no cover - a file system that knows no difference
        return
    with pytest.raises(
        ConfigurationError, match=r"secret files .*DATABASE__PASSWORD and database__password are the same"
    ):
        Settings()


def test_a_secret_may_be_a_list(config: Path, secrets: Path) -> None:
    """As a variable may."""
    (secrets / "HTTP__ALLOWED_HOSTS").write_text("a.example, b.example\n")
    assert Settings().http.allowed_hosts == ("a.example", "b.example")
