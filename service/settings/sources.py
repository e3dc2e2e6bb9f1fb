"""The sources of settings, and the messages for mistakes in them."""

import os
import tomllib
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from service.database.environment import environment_variable
from service.web.input import message_of

ENV_PREFIX = "POOLKEEPER_"
NESTED = "__"
EXIT_STATUS = 78
"""EX_CONFIG of sysexits.h: an error in the configuration."""

_NOT_SETTINGS = {"ENV", "CONFIG_DIR", "SECRETS_DIR"}
_KNOWN_ENVIRONMENTS = {"development", "test", "production"}


_FOLDERS = (Path("config"), Path(__file__).parents[2] / "config")
"""Folders with the TOML files, the first that exists: in the working directory, or next to the code."""


class ConfigurationError(Exception):
    """The settings have mistakes. The message names the key and source of each, and contains no secret."""


class Origins:
    """The source of each dotted key. Sources are read strongest first, and the first one that sets a key counts."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._files: dict[str, Path] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record here what the sources set that are read in the block."""
        token = _recorder.set(self)
        try:
            yield
        finally:
            _recorder.reset(token)

    def record(self, key: str, label: str, file: Path | None) -> None:
        """Record the source of a key, unless a stronger source has set it."""
        if key not in self._labels:
            self._labels[key] = label
            if file is not None:
                self._files[key] = file

    def of(self, key: str) -> str:
        """Return the source of a key, as text for people."""
        if key == "environment":
            return f"{ENV_PREFIX}ENV" if environment_variable(f"{ENV_PREFIX}ENV") else "default"
        return self._labels.get(key, "default")

    def is_set(self, key: str) -> bool:
        """Return whether any source sets this key."""
        return key in self._labels

    def file(self, key: str) -> Path | None:
        """Return the file in the secrets directory that sets this key, or `None`."""
        return self._files.get(key)


_recorder: ContextVar[Origins] = ContextVar("poolkeeper_origins")


class _Recorded(PydanticBaseSettingsSource):
    """A source that records the keys that it sets."""

    def __init__(self, source: PydanticBaseSettingsSource) -> None:
        super().__init__(source.settings_cls)
        self._source = source

    def get_field_value(  # pragma: no cover - abstract in pydantic-settings, which calls only the inner source's
        self, field: FieldInfo, field_name: str
    ) -> tuple[Any, str, bool]:
        """Return the value of the inner source."""
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        values = self._source()
        for key in _dotted(values):
            _recorder.get().record(key, self.label(key), self.file(key))
        return values

    def label(self, key: str) -> str:
        """Return the source of this key, as text for people."""
        raise NotImplementedError

    def file(self, key: str) -> Path | None:  # noqa: ARG002 - for sources of secrets
        """Return the file of this key, for sources of secrets."""
        return None


class _Arguments(_Recorded):
    def label(self, key: str) -> str:  # noqa: ARG002 - the same for all
        return "argument"


class _Environment(_Recorded):
    def label(self, key: str) -> str:
        names = {name.upper() for name in os.environ if environment_variable(name)}
        while _variable(key) not in names and "." in key:  # a variable may set a whole section, as JSON
            key = key.rpartition(".")[0]
        return f"environment variable {_variable(key)}"


class _Variables(EnvSettingsSource):
    """Reads variables. pydantic-settings parses lists and sections as JSON; other text is passed on, and refused with its key.

    An empty variable counts as unset: Compose passes an unset variable on as `NAME=`.
    """

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in os.environ.items() if environment_variable(name)}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class _DatabaseUrl(_Recorded):
    def __call__(self) -> dict[str, Any]:
        url = environment_variable("DATABASE_URL")
        if url is None:
            return {}
        _recorder.get().record("database.dsn", "environment variable DATABASE_URL", None)
        return {"database": {"dsn": url}}


class _SecretFiles(_Variables):
    """Reads the files of a folder like variables."""

    def __init__(self, settings_cls: type[BaseSettings], files: Mapping[str, Path]) -> None:
        self._files = files
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        texts = {name: read_secret(file) for name, file in self._files.items()}
        return {f"{ENV_PREFIX}{name}".lower(): text for name, text in texts.items() if text}


class _Secrets(_Recorded):
    def __init__(self, settings_cls: type[BaseSettings], folder: Path) -> None:
        self._files = _secret_files(settings_cls, folder)
        super().__init__(_SecretFiles(settings_cls, self._files))

    def file(self, key: str) -> Path | None:
        return self._files.get(key.replace(".", NESTED))

    def label(self, key: str) -> str:
        return f"secret file {self.file(key)}"


class _Toml(_Recorded):
    def __init__(self, settings_cls: type[BaseSettings], file: Path) -> None:
        self._file = file
        try:
            super().__init__(TomlConfigSettingsSource(settings_cls, file))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file}: not valid TOML: {error}") from error
        except OSError as error:
            raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from error

    def label(self, key: str) -> str:  # noqa: ARG002 - the same for all
        return str(self._file)


def environment_name() -> str:
    """Return the environment's name from `POOLKEEPER_ENV`, `development` if unset."""
    return environment_variable(f"{ENV_PREFIX}ENV") or "development"


def sources(
    settings_cls: type[BaseSettings], arguments: PydanticBaseSettingsSource
) -> tuple[PydanticBaseSettingsSource, ...]:
    """Return all sources, strongest first. Raises `ConfigurationError` for a file that is missing or cannot be read."""
    secrets_dir = environment_variable(f"{ENV_PREFIX}SECRETS_DIR")
    return (
        _Arguments(arguments),
        _Environment(_Variables(settings_cls)),
        _DatabaseUrl(arguments),
        *([_Secrets(settings_cls, Path(secrets_dir))] if secrets_dir else []),
        *(_Toml(settings_cls, file) for file in config_files()),
    )


def config_files() -> list[Path]:
    """Return the TOML files of this environment, strongest first; no files if there is no folder `config`."""
    environment = environment_name()
    named = environment_variable(f"{ENV_PREFIX}CONFIG_DIR")
    folder = Path(named) if named else next((folder for folder in _FOLDERS if folder.is_dir()), None)
    if folder is None or not folder.is_dir():
        if named:
            raise ConfigurationError(f"{ENV_PREFIX}CONFIG_DIR: there is no folder {folder}")
        if environment not in _KNOWN_ENVIRONMENTS:
            raise ConfigurationError(
                f"{ENV_PREFIX}ENV: {environment!r} is not one of {', '.join(sorted(_KNOWN_ENVIRONMENTS))}"
            )
        return []
    files = [folder / f"{environment}.toml", folder / "base.toml"]
    for file in files:
        if not file.is_file():
            raise ConfigurationError(f"{file}: the file is missing ({ENV_PREFIX}ENV is {environment!r})")
    return files


def read_secret(file: Path) -> str:
    """Return the present text of a secret. Raises `ConfigurationError` if the file cannot be read."""
    try:
        return file.read_text("utf-8-sig").strip()  # editors on Windows add a byte order mark
    except OSError as error:
        raise ConfigurationError(f"{file}: the secret cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: the secret is not text in UTF-8") from None


def refuse_unknown_variables(known: Container[str]) -> None:
    """Raise `ConfigurationError` for a `POOLKEEPER_` variable that is not a setting, which pydantic-settings ignores.

    Also for two variables that differ only in case: pydantic-settings would take either.
    """
    seen: dict[str, str] = {}
    for name in sorted(os.environ):
        if name.upper().startswith(ENV_PREFIX) and environment_variable(name):
            first = name[len(ENV_PREFIX) :].split(NESTED)[0]
            if first not in _NOT_SETTINGS and first.lower() not in known:
                raise ConfigurationError(f"environment variable {name}: there is no setting {first.lower()!r}")
            other = seen.setdefault(name.lower(), name)
            if os.environ[other] != os.environ[name]:
                raise ConfigurationError(
                    f"environment variables {other} and {name} are the same setting; keep one of them"
                )


def explain(error: ValidationError, origins: Origins) -> str:
    """Return a line for each mistake with the key, its source and the message, but not the value, which may be secret."""
    lines = []
    for mistake in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(str(part) for part in mistake["loc"])
        unknown = mistake["type"] in {"extra_forbidden", "unexpected_keyword_argument"}
        what = "there is no such setting" if unknown else message_of(mistake)
        given = ".".join(part for part in mistake["loc"] if isinstance(part, str))  # a list comes as a whole
        lines.append(f"{key} ({origins.of(given)}): {what}" if key else what)
    return "\n".join(lines)


def _secret_files(settings_cls: type[BaseSettings], folder: Path) -> dict[str, Path]:
    """Return the files of the secrets directory, by lower-case name, without hidden files and folders, which Kubernetes adds.

    A broken link is included, so that reading it fails with a message.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{ENV_PREFIX}SECRETS_DIR: there is no folder {folder}")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or (file.exists() and not file.is_file()):
            continue
        name = file.name.lower()
        if name.split(NESTED)[0] not in settings_cls.model_fields:
            raise ConfigurationError(f"secret file {file}: there is no setting {file.name!r}")
        if (other := files.setdefault(name, file)) != file:
            raise ConfigurationError(f"secret files {other} and {file.name} are the same setting; keep one of them")
    return files


def _variable(key: str) -> str:
    return ENV_PREFIX + key.upper().replace(".", NESTED)


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{name}.")
