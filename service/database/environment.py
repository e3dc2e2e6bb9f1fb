"""Environment variables."""

import os


def environment_variable(name: str) -> str | None:
    """Return the value of an environment variable; `None` if it is unset or empty."""
    return os.environ.get(name, "").strip() or None
