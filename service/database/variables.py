"""Environment variables."""

import os


def given(name: str) -> str | None:
    """The value of an environment variable; `None` for one that is empty, which is as unset."""
    return os.environ.get(name, "").strip() or None
