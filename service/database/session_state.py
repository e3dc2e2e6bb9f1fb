"""Reads from a statement's text whether it changes the session, or begins or ends a transaction."""

import re
from enum import IntFlag
from functools import lru_cache

import asyncpg


class Effects(IntFlag):
    """The effects of a text on the session; falsy for none."""

    NONE = 0
    CHANGES_SESSION = 1
    """It leaves a change that a reset has to undo."""
    SAVEPOINT = 2
    """It makes, releases or rolls back to a savepoint."""
    CONTROL = 4
    """It begins or ends a transaction, and the other end is not in the text."""
    WHOLE_TRANSACTION = 8
    """It is a script that begins and ends a transaction."""


_LITERAL_OR_COMMENT = re.compile(
    r"""
      --[^\n]*
    | /\*
    | \b[eE]'(?:[^'\\]|''|\\.)*'
    | '(?:[^']|'')*'
    | "(?:[^"]|"")*"
    | (?<![\w$])\$(?P<tag>[^\W\d]\w*|)\$.*?\$(?P=tag)\$
    """,
    re.DOTALL | re.VERBOSE,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_FUNCTION_BODY = re.compile(r"\bBEGIN\s+ATOMIC\s(?:.*?;\s*)?END\b", re.IGNORECASE | re.DOTALL)
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
_TRANSACTION_CONTROL = re.compile(
    r"""
    (?:^|;)\s*
    (?: (?P<begin> BEGIN | START\s+TRANSACTION )
      | (?P<savepoint> SAVEPOINT | RELEASE | ROLLBACK(?:\s+(?:WORK|TRANSACTION))?\s+TO )
      | (?P<end> (?:COMMIT|ROLLBACK)(?!\s+PREPARED\b) | END | ABORT | PREPARE\s+TRANSACTION ) )\b
    (?P<rest>[^;]*)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_AND_CHAIN = re.compile(r"\bAND\s+CHAIN\b", re.IGNORECASE)


@lru_cache(maxsize=1024)
def effects_of(query: str) -> Effects:
    """Return the effects of the SQL text on the session and on transactions, from all of its statements.

    It reads only the text, and assumes a change of the session when in doubt. It cannot see the effects of functions: use
    them inside `async with connection.session()`, which is always reset.
    """
    code = _FUNCTION_BODY.sub(" ", _without_content(query))
    return (Effects.CHANGES_SESSION if _changes_session(code) else Effects.NONE) | _control(code)


def refuse_control(effects: Effects, *, inside: bool) -> None:
    """Raise `asyncpg.InterfaceError` for a text that begins or ends a transaction, because blocks do that.

    Args:
        effects: The effects of the text.
        inside: Whether a transaction is open.
    """
    if effects & Effects.CONTROL or effects & (Effects.WHOLE_TRANSACTION if inside else Effects.SAVEPOINT):
        raise asyncpg.InterfaceError(
            "begin and end a transaction with `async with connection.transaction():`, nested for a savepoint, not with a "
            f"statement: {_NOT_INSIDE if inside else _NOT_OUTSIDE}"
        )


_NOT_INSIDE = "it would end the block that is open here"
_NOT_OUTSIDE = "the next one may run on another connection. By hand, use `async with connection.session() as raw:`"


def _changes_session(code: str) -> bool:
    if _AT_THE_START.search(code) or _ANYWHERE.search(code):
        return True
    return len(_SET_CONFIG.findall(code)) > len(_SET_CONFIG_LOCAL.findall(code))


def _control(code: str) -> Effects:
    effects, began = Effects.NONE, False
    for statement in _TRANSACTION_CONTROL.finditer(code):
        if statement["savepoint"]:
            effects |= Effects.NONE if began else Effects.SAVEPOINT
        elif bool(statement["begin"]) is began:  # a second BEGIN, or the end of a transaction that began elsewhere
            return Effects.CONTROL
        else:
            began = bool(statement["begin"] or _AND_CHAIN.search(statement["rest"]))
            effects |= Effects.WHOLE_TRANSACTION
    return Effects.CONTROL if began else effects


def _without_content(query: str) -> str:
    """Replace each comment by a space and each literal by an empty one. Quoted names stay: they may be functions."""
    parts, at = [], 0
    while token := _LITERAL_OR_COMMENT.search(query, at):  # each begins after the end of the last
        parts.append(query[at : token.start()])
        at = token.end()
        if token[0] == "/*":
            at = _end_of_comment(query, at)
            parts.append(" ")
        elif token[0].startswith("--"):
            parts.append(" ")
        else:
            parts.append(token[0] if token[0].startswith('"') else "''")
    return "".join([*parts, query[at:]])


def _end_of_comment(query: str, at: int) -> int:
    """Return the end of a comment that began before `at`. PostgreSQL's comments nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(query, at):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    return len(query)
