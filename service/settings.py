"""What can be configured, and where each value came from.

Sources, strongest first: environment variables (`POOLKEEPER_DATABASE__DSN`, and `DATABASE_URL` for that one), files in
`POOLKEEPER_SECRETS_DIR`, `config/<environment>.toml`, `config/base.toml`, the defaults here.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from service.configuration import (
    ENV_PREFIX,
    NESTED,
    ConfigurationError,
    Origins,
    environment_name,
    explain,
    read_secret,
    refuse_unknown_variables,
    sources,
)
from service.database import DatabaseOptions
from service.database.options import TlsMode
from service.limits.options import LimitOptions

_LOCAL = frozenset({"development", "test"})
"""Environments that may start a PostgreSQL of their own, and migrate by themselves."""

KEY_LENGTH = 32
"""Characters of a key for HMAC-SHA-256 at least (RFC 7518, 3.2: as long as the hash)."""
EXAMPLE_KEY = "an example key, for development and tests alone"
_EXAMPLES = ("example", "changeme", "change-me", "change_me", "changethis", "secret", "password")
_MAKE_A_KEY = "make one with `openssl rand -base64 32`"
_LETTERS = 8
"""Different characters that a key has at least: a random one of 32 has more."""

_HIGHEST_PORT = 65_535
_ESCAPE = "a password's / # ? @ and : are written %2F %23 %3F %40 and %3A"

_LIBPQ_ONLY = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "fallback_application_name",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "sslcompression",
        "tcp_user_timeout",
    }
)
"""What libpq understands in a DSN and asyncpg would send to the server as a setting, which refuses the connection."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DatabaseSettings(DatabaseOptions):
    """Where PostgreSQL is, and how the pool behaves."""

    dsn: SecretStr | None = None
    """`postgresql://user:password@host:port/database`. Without it, development and test start a server of their own."""
    password: SecretStr | None = None
    """Takes precedence over the DSN's. In a file of the secrets directory it is read again for each new connection."""
    migrate_on_start: bool | None = None
    """`None`: in development and test."""

    @field_validator("dsn")
    @classmethod
    def _readable(cls, dsn: SecretStr | None) -> SecretStr | None:
        if dsn is not None:
            check_dsn(dsn.get_secret_value())
        return dsn


class EmbeddedSettings(BaseModel):
    """The PostgreSQL that development starts by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Path(".poolkeeper/postgres")
    """Where development keeps its data, relative to the working directory. Tests use a temporary folder."""


class HttpSettings(BaseModel):
    """What the service accepts over HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_body_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    drain_seconds: Annotated[float, Field(ge=0)] = 1.0
    """How long answers say `Connection: close` after SIGTERM, before the server stops."""


class AuthSettings(BaseModel):
    """How a caller is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["token", "open"] = "token"
    """`open`: whoever has no token is an admin, on this machine alone. For development."""
    key: Annotated[SecretStr, Field(min_length=KEY_LENGTH)] = SecretStr(EXAMPLE_KEY)
    """Signs tokens. The example is refused outside development and test."""
    previous_key: Annotated[SecretStr, Field(min_length=KEY_LENGTH)] | None = None
    """Believed as well: what `key` was before, until the last token that it signed has expired."""
    issuer: str = "poolkeeper"
    audience: str = "poolkeeper"
    token_seconds: Annotated[int, Field(ge=1)] = 3600


class PasswordSettings(BaseModel):
    """What a password's hash costs (argon2id). The defaults are OWASP's first recommendation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_kib: Annotated[int, Field(ge=8)] = 19 * 1024
    time_cost: Annotated[int, Field(ge=1)] = 2
    threads: Annotated[int, Field(ge=1)] = 2
    """How many passwords are hashed at once."""
    min_length: Annotated[int, Field(ge=1, le=64)] = 8
    """Characters of a new password at least. Eight is the least that OWASP's ASVS 5.0 (6.2.1) allows; it advises 15."""


class IdempotencySettings(BaseModel):
    """How answers are kept for requests that carry an `Idempotency-Key`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttl_seconds: Annotated[int, Field(ge=1, le=366 * 24 * 60 * 60)] = 24 * 60 * 60
    """How long the same key gives the same answer."""


class DiagnosticsSettings(BaseModel):
    """Endpoints that show how the service behaves. Not for production."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = False
    slow_seconds: Annotated[float, Field(ge=0)] = 10.0
    """The first wait of `/slowusers/`."""


class Settings(BaseSettings):
    """All settings, validated. Raises `ConfigurationError`, which names the key and its source."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=NESTED, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    database: DatabaseSettings = DatabaseSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    http: HttpSettings = HttpSettings()
    auth: AuthSettings = AuthSettings()
    passwords: PasswordSettings = PasswordSettings()
    limits: LimitOptions = LimitOptions()
    idempotency: IdempotencySettings = IdempotencySettings()
    diagnostics: DiagnosticsSettings = DiagnosticsSettings()

    _environment: str = PrivateAttr(default_factory=environment_name)
    _origins: Origins = PrivateAttr(default_factory=Origins)

    def __init__(self, **values: Any) -> None:
        origins = Origins()
        try:
            with origins.recording():
                refuse_unknown_variables(type(self).model_fields)
                super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(explain(error, origins)) from None
        except SettingsError as error:
            raise ConfigurationError(f"{error}: {error.__cause__}") from None
        self._origins = origins

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of sources, each recorded."""
        return sources(settings_cls, init_settings)

    @model_validator(mode="after")
    def _fits_the_environment(self) -> Self:
        if not self.is_local:
            if self.database.dsn is None:
                raise ValueError(
                    f"database.dsn: {self.environment} has no default: set DATABASE_URL or {ENV_PREFIX}DATABASE__DSN"
                )
            if self.environment == "production" and self.database.migrate_on_start:
                raise ValueError(
                    "database.migrate_on_start: production never migrates at start: run `poolkeeper migrate`"
                )
            if self.environment == "production" and self.diagnostics.enabled:
                raise ValueError("diagnostics.enabled: production does not show how it behaves")
            self._check_access()
        return self

    def _check_access(self) -> None:
        if self.auth.mode == "open":
            raise ValueError(f"auth.mode: open is for development: {self.environment} needs token")
        for name, key in (("key", self.auth.key), ("previous_key", self.auth.previous_key)):
            text = EXAMPLE_KEY if key is None else key.get_secret_value()
            if text != EXAMPLE_KEY and _is_guessable(text):
                raise ValueError(f"auth.{name}: looks like an example: {_MAKE_A_KEY}")

    def require_for_serving(self) -> None:
        """Raises `ConfigurationError` for what only a server has to know, and a migration does not."""
        if not self.is_local and self.auth.key.get_secret_value() == EXAMPLE_KEY:
            raise ConfigurationError(
                f"auth.key: {self.environment} has no default: set {ENV_PREFIX}AUTH__KEY; {_MAKE_A_KEY}"
            )

    @property
    def environment(self) -> str:
        """The environment's name, from `POOLKEEPER_ENV`."""
        return self._environment

    @property
    def is_local(self) -> bool:
        """Whether this is development or test."""
        return self.environment in _LOCAL

    @property
    def migrate_on_start(self) -> bool:
        """Whether the schema is brought up to date when the service starts."""
        configured = self.database.migrate_on_start
        return self.is_local if configured is None else configured

    @property
    def embedded_data_dir(self) -> Path | None:
        """Where the embedded server keeps its data; `None` in tests: in a temporary folder."""
        return None if self.environment == "test" else self.embedded.data_dir

    def origin(self, key: str) -> str:
        """Where the value of a dotted key came from, for people."""
        return self._origins.of(key)

    def dsn(self) -> str | None:
        """The DSN, read anew where it lies in the secrets directory."""
        return self._secret("database.dsn", self.database.dsn)

    def database_password(self) -> str | None:
        """The password, read anew where it lies in the secrets directory."""
        return self._secret("database.password", self.database.password)

    def fingerprint_keys(self) -> Sequence[bytes]:
        """The secrets that requests' fingerprints are made with: the first makes new ones, all of them are believed."""
        return [key.get_secret_value().encode() for key in (self.auth.key, self.auth.previous_key) if key is not None]

    def _secret(self, key: str, value: SecretStr | None) -> str | None:
        if (file := self._origins.file(key)) is not None:
            return read_secret(file)
        return None if value is None else value.get_secret_value()


def _is_guessable(key: str) -> bool:
    """Whether a key is one of the examples that get copied, or has hardly any letters."""
    return any(word in key.lower() for word in _EXAMPLES) or len(set(key)) < _LETTERS


def check_dsn(dsn: str) -> None:
    """Raises `ValueError`, without the DSN's secrets, when asyncpg would refuse it or misread it."""
    try:
        parts = urlsplit(dsn)
    except ValueError:  # its text quotes the DSN
        raise ValueError(f"is not a URL; {_ESCAPE}") from None
    if parts.scheme not in {"postgresql", "postgres"}:
        hint = ": leave out the driver's name" if "+" in parts.scheme else ""
        raise ValueError(f"must start with postgresql://, not {parts.scheme or 'nothing'}://{hint}")
    if parts.fragment or not all(_is_port(host) for host in parts.netloc.rpartition("@")[2].split(",")):
        raise ValueError(f"has a host or port that cannot be; {_ESCAPE}")
    options = dict(parse_qsl(parts.query))
    if (mode := options.get("sslmode")) is not None and mode not in get_args(TlsMode):
        raise ValueError(f"asks for an sslmode that is none of {', '.join(get_args(TlsMode))}")
    names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if refused := sorted(names & _LIBPQ_ONLY):
        raise ValueError(
            f"asyncpg does not know {', '.join(refused)} in a DSN; times are set by database.connect_timeout etc."
        )


def _is_port(host: str) -> bool:
    """Whether what follows the host's name is a port, or nothing does. An IPv6 address is in brackets."""
    _, colon, port = host.rpartition("]")[2].rpartition(":")
    return not colon or not port or (port.isascii() and port.isdecimal() and int(port) <= _HIGHEST_PORT)


def shown(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each dotted key with its value for people; secrets masked."""
    yield "environment", settings.environment
    yield from _shown(settings.model_dump())


def _shown(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _shown(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "not set" if value is None else str(value)
