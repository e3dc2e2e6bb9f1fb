"""What a key was used for, in PostgreSQL, in the transaction of the work itself."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from pydantic import SecretStr, TypeAdapter

from service.database import ScopedConnection
from service.idempotency.errors import KeyInUse, KeyUsedOtherwise
from service.idempotency.settings import IdempotencySettings

A = TypeVar("A")

_adapters: dict[type[Any], TypeAdapter[Any]] = {}
"""Made once for each type of answer."""

CLAIM_KEY = """
    INSERT INTO idempotency_keys AS stored (caller, key, expires_at)
    VALUES ($1, $2, statement_timestamp() + $3 * interval '1 second')
    ON CONFLICT (caller, key) DO UPDATE
        SET fingerprint = NULL, answer = NULL, user_id = NULL, expires_at = excluded.expires_at
        WHERE stored.expires_at <= statement_timestamp()
    RETURNING true
"""
"""Waits for another transaction with the same key to end. No row: the key has been used, and has not expired."""

GET_ANSWER = """
    SELECT fingerprint, answer
    FROM idempotency_keys
    WHERE caller = $1 AND key = $2
"""

STORE_ANSWER = """
    WITH cleaned AS (
        DELETE FROM idempotency_keys
        WHERE (caller, key) IN (
            SELECT caller, key FROM idempotency_keys
            WHERE expires_at <= statement_timestamp() AND (caller, key) <> ($1, $2)
            LIMIT 10
            FOR UPDATE SKIP LOCKED
        )
    )
    UPDATE idempotency_keys SET fingerprint = $3, answer = $4, user_id = $5
    WHERE caller = $1 AND key = $2
"""
"""The transaction's last statement: nothing is waited for while rows of others are locked here to be removed."""

NOBODY = 0
"""The caller of requests that nobody signed; users' ids start at 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentRequest:
    """A request that carries a key, and may have been carried out before."""

    key: str
    content: Callable[[], Awaitable[bytes]]
    """Gives all that makes it this request and no other: method, target and body."""
    caller: int | None = None
    """The id of the user who sent it: keys of different callers are different keys."""
    replayed: Callable[[], None] = lambda: None
    """Called when the answer is a kept one."""


class Idempotency:
    """Runs work once for each caller and key, and keeps its answer for `ttl_seconds`.

    Requests are compared by their HMAC-SHA-256: a plain hash of a body that contains a password could be guessed.

    Args:
        connection: Where keys and answers are stored.
        settings: How long they are kept.
        secrets: Keys of the HMAC. The first makes new fingerprints; those of the others are still recognised, so that a
            secret can be changed.
        patience: Seconds to wait for another request with the same key.
    """

    def __init__(
        self,
        connection: ScopedConnection,
        settings: IdempotencySettings,
        *,
        secrets: Sequence[SecretStr],
        patience: float = 5.0,
    ) -> None:
        self._connection = connection
        self._ttl_seconds = settings.ttl_seconds
        self._secrets = [secret.get_secret_value().encode() for secret in secrets]
        self._patience = patience
        self._turns: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()

    async def once(
        self,
        attempt: IdempotentRequest | None,
        answer: type[A],
        work: Callable[[], Awaitable[A]],
        *,
        about: Callable[[A], int],
    ) -> A:
        """Run `work` in a transaction that also keeps its answer, or give the answer that was kept.

        Only what succeeded is kept: an error undoes the work and frees the key. Without an attempt it is `work` alone.
        `about`: the id of the user whose data the answer holds, which goes when that user does.

        Raises `KeyUsedOtherwise` when the key came with another request, and `KeyInUse` when the first is still at work.
        """
        if attempt is None:
            return await work()
        async with self._turn(attempt), self._connection.transaction(isolation="read_committed"):
            if not await self._claim(attempt):
                attempt.replayed()
                return _json(answer).validate_json(await self._kept(attempt))
            done = await work()
            made = fingerprint(await attempt.content(), self._secrets[0])
            kept = _json(answer).dump_json(done).decode()
            await self._connection.execute(STORE_ANSWER, _caller(attempt), attempt.key, made, kept, about(done))
        return done

    @asynccontextmanager
    async def _turn(self, attempt: IdempotentRequest) -> AsyncIterator[None]:
        """Lets requests of this process that have one key wait for each other without a connection.

        Whoever waits in PostgreSQL holds one: behind a slow import a few repetitions would take the whole pool.
        """
        turn = self._turns.setdefault((_caller(attempt), attempt.key), asyncio.Lock())
        try:
            async with asyncio.timeout(self._patience):
                await turn.acquire()
        except TimeoutError as error:
            raise KeyInUse from error
        try:
            yield
        finally:
            turn.release()

    async def _claim(self, attempt: IdempotentRequest) -> bool:
        """Whether the key is this attempt's from now on."""
        try:
            claimed: bool | None = await self._connection.fetchval(
                CLAIM_KEY, _caller(attempt), attempt.key, self._ttl_seconds, timeout=self._patience
            )
        except TimeoutError as error:
            raise KeyInUse from error
        return claimed is True

    async def _kept(self, attempt: IdempotentRequest) -> str:
        """The answer that was kept for the same request."""
        kept = await self._connection.fetchrow(GET_ANSWER, _caller(attempt), attempt.key)
        assert kept is not None  # the conflict locked it
        content = await attempt.content()
        if not any(hmac.compare_digest(kept["fingerprint"], fingerprint(content, secret)) for secret in self._secrets):
            raise KeyUsedOtherwise
        answer: str = kept["answer"]
        return answer


def _json(answer: type[A]) -> TypeAdapter[A]:
    """From an answer to JSON and back."""
    if answer not in _adapters:
        _adapters[answer] = TypeAdapter(answer)
    return _adapters[answer]


def fingerprint(content: bytes, key: bytes) -> bytes:
    """What a request is known by. The prefix keeps it apart from whatever else is signed with the same secret."""
    return hmac.digest(key, b"idempotency\0" + content, "sha256")


def _caller(attempt: IdempotentRequest) -> int:
    return NOBODY if attempt.caller is None else attempt.caller
