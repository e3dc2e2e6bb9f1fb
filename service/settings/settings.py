"""All settings, with their sections.

Sources, strongest first: environment variables (`POOLKEEPER_DATABASE__DSN`, or `DATABASE_URL` for the same setting), files in
`POOLKEEPER_SECRETS_DIR`, `config/<environment>.toml`, `config/base.toml`, the defaults of the sections.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import PrivateAttr, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from service.auth.ratelimit.settings import RateLimitSettings
from service.auth.settings import MAKE_A_KEY, AuthSettings, PasswordSettings
from service.idempotency.settings import IdempotencySettings
from service.items.bulk.settings import BulkSettings
from service.operations.diagnostics.settings import DiagnosticsSettings
from service.operations.documentation.settings import DocumentationSettings
from service.settings.dsn import named_in_dsn
from service.settings.sections import (
    DatabaseSettings,
    EmbeddedSettings,
    PerformanceSettings,
)
from service.settings.sources import (
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
from service.web.hosts import ANY, LOCAL_HOSTS
from service.web.settings import HttpSettings

_LOCAL = frozenset({"development", "test"})
"""Environments that may start an embedded PostgreSQL, and migrate when they start."""


class Settings(BaseSettings):
    """All settings, validated. Raises `ConfigurationError` with the key and the source of each mistake."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=NESTED, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    database: DatabaseSettings = DatabaseSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    http: HttpSettings = HttpSettings()
    auth: AuthSettings = AuthSettings()
    bulk: BulkSettings = BulkSettings()
    passwords: PasswordSettings = PasswordSettings()
    limits: RateLimitSettings = RateLimitSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    performance: PerformanceSettings = PerformanceSettings()
    diagnostics: DiagnosticsSettings = DiagnosticsSettings()
    documentation: DocumentationSettings = DocumentationSettings()

    _environment: str = PrivateAttr(default_factory=environment_name)
    _origins: Origins = PrivateAttr(default_factory=Origins)
    _named_in_dsn: dict[str, Any] = PrivateAttr(default_factory=dict)

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
        self._named_in_dsn = named_in_dsn(self.database, origins)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in order. Each records the keys that it sets."""
        return sources(settings_cls, init_settings)

    @model_validator(mode="after")
    def _fits_the_environment(self) -> Self:
        if not self.is_local:
            if self.database.dsn is None:
                raise ValueError(
                    f"database.dsn: {self.environment} has no default: set DATABASE_URL or {ENV_PREFIX}DATABASE__DSN"
                )
            self.auth.check_for(self.environment)
        if self.environment == "production":
            _fit_production(self)
        return self

    @model_validator(mode="after")
    def _leaves_connections_to_others(self) -> Self:
        most = self.database.max_size - 1
        if self.bulk.max_exports is not None and self.bulk.max_exports > most:
            raise ValueError(f"bulk.max_exports: must be below database.max_size, so at most {most}")
        return self

    def require_for_serving(self) -> None:
        """Raise `ConfigurationError` for missing settings that a server needs and a migration does not."""
        if self.is_local:
            return
        missing = []
        if not self.auth.has_own_key:
            missing.append(f"auth.key: {self.environment} has no default: set {ENV_PREFIX}AUTH__KEY; {MAKE_A_KEY}")
        if not self.http.allowed_hosts:
            missing.append(
                f"http.allowed_hosts: {self.environment} has no default: "
                f"set {ENV_PREFIX}HTTP__ALLOWED_HOSTS to the names that clients use, such as api.example.com"
            )
        if missing:
            raise ConfigurationError("\n".join(missing))

    @property
    def environment(self) -> str:
        """Return the environment's name, from `POOLKEEPER_ENV`."""
        return self._environment

    @property
    def is_local(self) -> bool:
        """Return whether the environment is development or test."""
        return self.environment in _LOCAL

    @property
    def migrate_on_start(self) -> bool:
        """Return whether the service migrates the schema when it starts."""
        configured = self.database.migrate_on_start
        return self.is_local if configured is None else configured

    @property
    def auth_mode(self) -> Literal["token", "open"]:
        """Return the mode of authentication."""
        return self.auth.mode or ("open" if self.is_local else "token")

    @property
    def bulk_slots(self) -> int:
        """Return how many imports and exports this process runs at the same time."""
        configured = self.bulk.max_exports
        return min(2, self.database.max_size - 1) if configured is None else configured

    @property
    def documentation_enabled(self) -> bool:
        """Return whether the service serves its documentation."""
        configured = self.documentation.enabled
        return self.is_local if configured is None else configured

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Return the hosts that the service answers to."""
        return self.http.allowed_hosts or LOCAL_HOSTS

    @property
    def embedded_data_dir(self) -> Path | None:
        """Return the data folder of the embedded server. `None` in tests, which use a temporary folder."""
        return None if self.environment == "test" else self.embedded.data_dir

    def origin(self, key: str) -> str:
        """Return the source of a dotted key's value, as text for people."""
        return self._origins.of(key)

    def dsn(self) -> str | None:
        """Return the DSN. In the secrets directory it is read at each call."""
        return self._secret("database.dsn", self.database.dsn)

    def database_password(self) -> str | None:
        """Return the database password. In the secrets directory it is read at each call."""
        return self._secret("database.password", self.database.password)

    def _secret(self, key: str, value: SecretStr | None) -> str | None:
        if (file := self._origins.file(key)) is not None:
            return read_secret(file)
        return None if value is None else value.get_secret_value()


def _fit_production(settings: Settings) -> None:
    """Raise `ValueError` for settings that are not allowed in production."""
    if settings.database.migrate_on_start:
        raise ValueError(
            "database.migrate_on_start: not allowed in production; run `poolkeeper migrate` before the start"
        )
    if settings.diagnostics.enabled:
        raise ValueError("diagnostics.enabled: not allowed in production")
    if ANY in settings.http.allowed_hosts:
        raise ValueError("http.allowed_hosts: '*' is not allowed in production; list each host")
    if ANY in settings.http.allowed_origins:
        raise ValueError("http.allowed_origins: '*' is not allowed in production; list each origin")


def shown(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each dotted key with its value as text, values from the DSN included, with secrets masked."""
    yield "environment", settings.environment
    values = settings.model_dump()
    values["database"] |= settings._named_in_dsn  # noqa: SLF001 - belongs to the class
    yield from _shown(values)


def _shown(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _shown(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "not set" if value is None else _text(value)


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
