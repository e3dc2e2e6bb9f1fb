"""What can be configured, and where each value came from.

Sources, strongest first: environment variables (`POOLKEEPER_DATABASE__DSN`, and `DATABASE_URL` for that one), files in
`POOLKEEPER_SECRETS_DIR`, `config/<environment>.toml`, `config/base.toml`, the defaults here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

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
from service.dsn import check_dsn
from service.hosts import ANY, LOCAL_HOSTS, HostNames, WebOrigins

_LOCAL = frozenset({"development", "test"})
"""Environments that may start a PostgreSQL of their own, and migrate by themselves."""


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
    body_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How long a request's body may take to arrive."""
    allowed_hosts: HostNames = ()
    """The hosts it answers to: names, addresses, `*.example.com`, or `*` for any. None: this machine, in development and test."""
    allowed_origins: WebOrigins = ()
    """The web origins whose pages may call it (CORS), such as `https://app.example.com`."""
    hsts_seconds: Annotated[int, Field(ge=0)] = 0
    """How long browsers remember to come by HTTPS only; 0 does not say so."""
    drain_seconds: Annotated[float, Field(ge=0)] = 1.0
    """How long answers say `Connection: close` after SIGTERM, before the server stops."""


class PasswordSettings(BaseModel):
    """What a password's hash costs (argon2id). The defaults are OWASP's first recommendation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_kib: Annotated[int, Field(ge=8)] = 19 * 1024
    time_cost: Annotated[int, Field(ge=1)] = 2
    threads: Annotated[int, Field(ge=1)] = 2
    """How many passwords are hashed at once."""


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
    passwords: PasswordSettings = PasswordSettings()
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
            if not self.http.allowed_hosts:
                raise ValueError(
                    f"http.allowed_hosts: {self.environment} has no default: "
                    f"set {ENV_PREFIX}HTTP__ALLOWED_HOSTS to the names that clients use, such as api.example.com"
                )
        if self.environment == "production":
            _fit_production(self)
        return self

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
    def allowed_hosts(self) -> tuple[str, ...]:
        """The hosts that the service answers to."""
        return self.http.allowed_hosts or LOCAL_HOSTS

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

    def _secret(self, key: str, value: SecretStr | None) -> str | None:
        if (file := self._origins.file(key)) is not None:
            return read_secret(file)
        return None if value is None else value.get_secret_value()


def _fit_production(settings: Settings) -> None:
    """Raises `ValueError` for what is handy elsewhere and wrong in production."""
    if settings.database.migrate_on_start:
        raise ValueError("database.migrate_on_start: production never migrates at start: run `poolkeeper migrate`")
    if ANY in settings.http.allowed_hosts:
        raise ValueError("http.allowed_hosts: production answers to names that are given, not to *")
    if ANY in settings.http.allowed_origins:
        raise ValueError("http.allowed_origins: production lets the pages of origins that are given call it, not of *")


def shown(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each dotted key with its value for people; secrets masked."""
    yield "environment", settings.environment
    yield from _shown(settings.model_dump())


def _shown(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _shown(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "not set" if value is None else _text(value)


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
