"""The lists of hosts and web origins in the configuration, and what production refuses."""

import pytest

from service.settings import ConfigurationError, Settings, shown

HOSTS = "POOLKEEPER_HTTP__ALLOWED_HOSTS"
ORIGINS = "POOLKEEPER_HTTP__ALLOWED_ORIGINS"


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped configuration of production, with a DSN."""
    monkeypatch.setenv("POOLKEEPER_ENV", "production")
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hunter2@db.example/app")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (HOSTS, "https://api.example.com", "http.allowed_hosts.0 (environment variable {}): must be a host without"),
        (
            HOSTS,
            '["a.example", "b.example:80"]',
            "http.allowed_hosts.1 (environment variable {}): must be a host without",
        ),
        (HOSTS, '["a.example"', "http.allowed_hosts.0 (environment variable {}): must be a host without"),
        (HOSTS, "a.*.example", "http.allowed_hosts.0 (environment variable {}): must be a host without"),
        (HOSTS, '{"a": 1}', "http.allowed_hosts (environment variable {}): Input should be a valid tuple"),
        (HOSTS, "7", "http.allowed_hosts (environment variable {}): Input should be a valid tuple"),
        (ORIGINS, "https://app.example.com/", "http.allowed_origins.0 (environment variable {}): must be an origin"),
        (
            ORIGINS,
            "https://a.example:443",
            "http.allowed_origins.0 (environment variable {}): must be without its port",
        ),
        (ORIGINS, "http://[::1]:80", "http.allowed_origins.0 (environment variable {}): must be without its port"),
        (ORIGINS, "app.example.com", "http.allowed_origins.0 (environment variable {}): must be an origin"),
        ("POOLKEEPER_HTTP__BODY_SECONDS", "0", "http.body_seconds (environment variable {}): Input should be greater"),
        ("POOLKEEPER_HTTP__HSTS_SECONDS", "-1", "http.hsts_seconds (environment variable {}): Input should be greater"),
        ("POOLKEEPER_HTTP", "{", "http (environment variable {}): Input should be a valid dictionary"),
    ],
)
def test_a_bad_list_is_one_message_with_key_and_source(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """No JSON, other JSON, a scheme, a port, a path: said with the entry that has it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        Settings()
    assert str(caught.value).startswith(message.format(name))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("value", ['["API.example.com", "[::1]"]', "api.example.com, [::1]"])
def test_a_list_in_a_variable_is_json_or_has_commas(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """In either form; and it is shown so that it can be copied into one."""
    monkeypatch.setenv(HOSTS, value)
    assert Settings().allowed_hosts == ("api.example.com", "[::1]")
    assert dict(shown(Settings()))["http.allowed_hosts"] == "api.example.com,[::1]"


@pytest.mark.usefixtures("production")
def test_production_starts_only_with_its_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """None by default, and not just any."""
    with pytest.raises(
        ConfigurationError, match=r"http\.allowed_hosts: production has no default: set .*ALLOWED_HOSTS"
    ):
        Settings().require_for_serving()
    monkeypatch.setenv(HOSTS, "*")
    with pytest.raises(
        ConfigurationError, match=r"http\.allowed_hosts: '\*' is not allowed in production; list each host"
    ):
        Settings()
    monkeypatch.setenv(HOSTS, "*.example.com")
    assert Settings().allowed_hosts == ("*.example.com",)


@pytest.mark.usefixtures("production")
def test_production_refuses_any_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page of any site may call it; of a site that is named, it may."""
    monkeypatch.setenv(HOSTS, "api.example.com")
    monkeypatch.setenv(ORIGINS, "*")
    with pytest.raises(
        ConfigurationError, match=r"http\.allowed_origins: '\*' is not allowed in production; list each origin"
    ):
        Settings()
    monkeypatch.setenv(ORIGINS, "https://app.example.com:8443")
    assert Settings().http.allowed_origins == ("https://app.example.com:8443",)


@pytest.mark.usefixtures("production")
def test_production_tells_browsers_to_come_by_https(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a year; nowhere else by default."""
    monkeypatch.setenv(HOSTS, "api.example.com")
    assert Settings().http.hsts_seconds == 365 * 24 * 60 * 60
    monkeypatch.setenv("POOLKEEPER_ENV", "development")
    assert Settings().http.hsts_seconds == 0


def test_without_a_configuration_only_this_machine_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file says otherwise, in development: a page elsewhere cannot point its own name at the service."""
    monkeypatch.setattr("service.settings.sources._FOLDERS", ())
    assert Settings().allowed_hosts == ("localhost", "127.0.0.1", "[::1]")
