"""Which statements leave something behind in the session."""

import re
from functools import lru_cache

_LITERALS_AND_COMMENTS = re.compile(
    r"""
      --[^\n]*
    | /\*.*?\*/
    | \b[eE]'(?:[^'\\]|''|\\.)*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?<![\w$])\$(?P<tag>[^\W\d]\w*|)\$.*?\$(?P=tag)\$
    """,
    re.DOTALL | re.VERBOSE,
)
_NESTED_COMMENT = re.compile(r"/\*(?:(?!\*/).)*/\*", re.DOTALL)
_AT_THE_START = re.compile(
    r"""
    (?:^|;)\s*
    (?: SET\b(?!\s+(?:LOCAL|TRANSACTION|CONSTRAINTS)\b)
      | RESET | DISCARD | LISTEN | UNLISTEN | LOAD | PREPARE | DEALLOCATE | DECLARE | DO | CALL
      | BEGIN | START | COMMIT | END | ROLLBACK | ABORT )\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ANYWHERE = re.compile(
    r"""
      \b pg_(?:try_)?advisory_lock(?:_shared)? \b
    | \b (?:CREATE|INTO) \s+ (?:OR\s+REPLACE\s+)? (?:LOCAL\s+|GLOBAL\s+)? TEMP(?:ORARY)? \b
    | \b pg_temp \b
    | \b pg_settings \b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SET_CONFIG = re.compile(r"\bset_config\b", re.IGNORECASE)
_SET_CONFIG_LOCAL = re.compile(r"\bset_config\"?\s*\([^()]*,\s*true\s*\)", re.IGNORECASE)


@lru_cache(maxsize=1024)
def changes_session(query: str) -> bool:
    """Whether the SQL text, with any of its statements, changes the session beyond its transaction.

    Reads the text only, and errs towards yes. What a function does inside, it cannot see: such work belongs into
    `async with connection.session()`, which is always reset.
    """
    if _NESTED_COMMENT.search(query):
        return True
    code = _LITERALS_AND_COMMENTS.sub(_without_content, query)
    if _AT_THE_START.search(code) or _ANYWHERE.search(code):
        return True
    return len(_SET_CONFIG.findall(code)) > len(_SET_CONFIG_LOCAL.findall(code))


def _without_content(token: re.Match[str]) -> str:
    """A space for a comment, an empty literal for a literal; a quoted name stays, for it may be a function's."""
    if token[0].startswith(("--", "/*")):
        return " "
    return token[0] if token[0].startswith('"') else "''"
