"""Where settings come from, and how a mistake in them is said. `settings.py` says what they are."""

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

ENV_PREFIX = "POOLKEEPER_"
NESTED = "__"
EXIT_STATUS = 78
"""EX_CONFIG of sysexits.h: something was found in an unconfigured or misconfigured state."""

_OF_THE_LOADER = {"ENV", "CONFIG_DIR", "SECRETS_DIR"}
_KNOWN_ENVIRONMENTS = {"development", "test", "production"}


_FOLDERS = (Path("config"), Path(__file__).parents[2] / "config")
"""Where the files are looked for: in the working directory, else beside the code."""


class ConfigurationError(Exception):
    """The configuration has a mistake. The message names each key and its source, and no secret."""


class Origins:
    """Which source gave each dotted key. The strongest is asked first, and so is the one that is remembered."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._files: dict[str, Path] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """While this is open, the sources that are read write down here what they gave."""
        token = _recorder.set(self)
        try:
            yield
        finally:
            _recorder.reset(token)

    def record(self, key: str, label: str, file: Path | None) -> None:
        """Write down that a source gave this key, unless a stronger one did."""
        if key not in self._labels:
            self._labels[key] = label
            if file is not None:
                self._files[key] = file

    def of(self, key: str) -> str:
        """The source of a key, for people."""
        if key == "environment":
            return f"{ENV_PREFIX}ENV" if environment_variable(f"{ENV_PREFIX}ENV") else "default"
        return self._labels.get(key, "default")

    def is_set(self, key: str) -> bool:
        """Whether any source gave this key."""
        return key in self._labels

    def file(self, key: str) -> Path | None:
        """The file in the secrets directory that gave this key, if one did."""
        return self._files.get(key)


_recorder: ContextVar[Origins] = ContextVar("poolkeeper_origins")


class _Recorded(PydanticBaseSettingsSource):
    """A source that writes down which keys it gave."""

    def __init__(self, source: PydanticBaseSettingsSource) -> None:
        super().__init__(source.settings_cls)
        self._source = source

    def get_field_value(  # pragma: no cover - abstract in pydantic-settings, which asks only the source inside
        self, field: FieldInfo, field_name: str
    ) -> tuple[Any, str, bool]:
        """What the source itself answers."""
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        values = self._source()
        for key in _dotted(values):
            _recorder.get().record(key, self.label(key), self.file(key))
        return values

    def label(self, key: str) -> str:
        """How a person would name the source of this key."""
        raise NotImplementedError

    def file(self, key: str) -> Path | None:  # noqa: ARG002 - for sources of secrets
        """The secret's file, for a source of such."""
        return None


class _Arguments(_Recorded):
    def label(self, key: str) -> str:  # noqa: ARG002 - the same for all
        return "argument"


class _Environment(_Recorded):
    def label(self, key: str) -> str:
        names = {name.upper() for name in os.environ if environment_variable(name)}
        while _variable(key) not in names and "." in key:  # a variable may give a whole group, as JSON
            key = key.rpartition(".")[0]
        return f"environment variable {_variable(key)}"


class _Variables(EnvSettingsSource):
    """pydantic-settings reads lists and groups as JSON. What is none goes on as text, to be refused with its key.

    An empty variable is as unset: Compose passes on what is not there as `NAME=`.
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
    """Files of a folder, read as though they were variables."""

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
    """The environment's name from `POOLKEEPER_ENV`, `development` if unset."""
    return environment_variable(f"{ENV_PREFIX}ENV") or "development"


def sources(
    settings_cls: type[BaseSettings], arguments: PydanticBaseSettingsSource
) -> tuple[PydanticBaseSettingsSource, ...]:
    """All sources, strongest first. Raises `ConfigurationError` for a file that is missing or cannot be read."""
    secrets_dir = environment_variable(f"{ENV_PREFIX}SECRETS_DIR")
    return (
        _Arguments(arguments),
        _Environment(_Variables(settings_cls)),
        _DatabaseUrl(arguments),
        *([_Secrets(settings_cls, Path(secrets_dir))] if secrets_dir else []),
        *(_Toml(settings_cls, file) for file in config_files()),
    )


def config_files() -> list[Path]:
    """The TOML files of this environment, strongest first; none where there is no `config` folder at all."""
    environment = environment_name()
    named = environment_variable(f"{ENV_PREFIX}CONFIG_DIR")
    folder = Path(named) if named else next((folder for folder in _FOLDERS if folder.is_dir()), None)
    if folder is None or not folder.is_dir():
        if named:
            raise ConfigurationError(f"{ENV_PREFIX}CONFIG_DIR: there is no folder {folder}")
        if environment not in _KNOWN_ENVIRONMENTS:
            raise ConfigurationError(
                f"{ENV_PREFIX}ENV: {environment!r} is none of {', '.join(sorted(_KNOWN_ENVIRONMENTS))}"
            )
        return []
    files = [folder / f"{environment}.toml", folder / "base.toml"]
    for file in files:
        if not file.is_file():
            raise ConfigurationError(f"{file}: the file is missing ({ENV_PREFIX}ENV is {environment!r})")
    return files


def read_secret(file: Path) -> str:
    """A secret's text, as it is now. Raises `ConfigurationError` when the file is gone."""
    try:
        return file.read_text("utf-8-sig").strip()  # Windows' editors put a byte order mark before it
    except OSError as error:
        raise ConfigurationError(f"{file}: the secret cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: the secret is not text in UTF-8") from None


def refuse_unknown_variables(known: Container[str]) -> None:
    """Raises `ConfigurationError` for a `POOLKEEPER_` variable that configures nothing; pydantic-settings passes over it.

    Also for two that differ in case alone, of which it would take either.
    """
    seen: dict[str, str] = {}
    for name in sorted(os.environ):
        if name.upper().startswith(ENV_PREFIX) and environment_variable(name):
            first = name[len(ENV_PREFIX) :].split(NESTED)[0]
            if first not in _OF_THE_LOADER and first.lower() not in known:
                raise ConfigurationError(f"environment variable {name}: there is no setting {first.lower()!r}")
            other = seen.setdefault(name.lower(), name)
            if os.environ[other] != os.environ[name]:
                raise ConfigurationError(f"environment variables {other} and {name} are one setting: keep one of them")


def explain(error: ValidationError, origins: Origins) -> str:
    """One line for each mistake: the key, its source, what is wrong. Never the value, which may be a secret."""
    lines = []
    for mistake in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(str(part) for part in mistake["loc"])
        unknown = mistake["type"] in {"extra_forbidden", "unexpected_keyword_argument"}
        what = "there is no such setting" if unknown else mistake["msg"].removeprefix("Value error, ")
        given = ".".join(part for part in mistake["loc"] if isinstance(part, str))  # a list comes as a whole
        lines.append(f"{key} ({origins.of(given)}): {what}" if key else what)
    return "\n".join(lines)


def _secret_files(settings_cls: type[BaseSettings], folder: Path) -> dict[str, Path]:
    """The files of the secrets directory, by lower-case name. Hidden ones and folders, as Kubernetes has them, are none.

    A link that leads nowhere is one: reading it says so.
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
            raise ConfigurationError(f"secret files {other} and {file.name} are one setting: keep one of them")
    return files


def _variable(key: str) -> str:
    return ENV_PREFIX + key.upper().replace(".", NESTED)


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{name}.")
