"""The methods of asyncpg's connection that statements run through.

A `ScopedConnection` method passes its own name to `Executor.send`; `Lease.send` looks it up on the leased connection. That is
the only dispatch by name. It goes through the instance because a program's `connection_class` may override the method.
"""

from typing import Literal

Method = Literal[
    "fetch",
    "fetchrow",
    "fetchval",
    "fetchmany",
    "execute",
    "executemany",
    "prepare",
    "copy_records_to_table",
    "copy_to_table",
    "copy_from_table",
    "copy_from_query",
]
CopyMethod = Literal["copy_records_to_table", "copy_to_table", "copy_from_table", "copy_from_query"]

TABLE_METHODS: frozenset[Method] = frozenset({"copy_records_to_table", "copy_to_table", "copy_from_table"})
"""Methods with a table's name as their first argument, instead of SQL."""
COPY_OUT_METHODS: frozenset[Method] = frozenset({"copy_from_query", "copy_from_table"})
BATCH_METHODS: frozenset[Method] = frozenset({"executemany", "fetchmany"})
"""Methods that take a sequence of arguments for each execution."""
