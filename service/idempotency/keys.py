"""Keys and the answers of their requests, in PostgreSQL, stored in the transaction of the work itself."""

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
"""One for each type of answer."""

CLAIM_KEY = """
    INSERT INTO idempotency_keys AS stored (caller, key, expires_at)
    VALUES ($1, $2, statement_timestamp() + $3 * interval '1 second')
    ON CONFLICT (caller, key) DO UPDATE
        SET fingerprint = NULL, answer = NULL, user_id = NULL, expires_at = excluded.expires_at
        WHERE stored.expires_at <= statement_timestamp()
    RETURNING true
"""
"""Waits until another transaction with the same key ends. Returns no row if the key is used and has not expired."""

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
"""The last statement of its transaction: it locks expired rows, and nothing may wait after that."""

NO_CALLER = 0
"""The caller of requests without a token. Users' ids start at 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotentRequest:
    """A request with a key, which may have been carried out before."""

    key: str
    content: Callable[[], Awaitable[bytes]]
    """Returns the bytes that identify the request: method, target and body."""
    caller: int | None = None
    """The id of the user who sent it: the same key of another caller is another key."""
    replayed: Callable[[], None] = lambda: None
    """Called if the answer is a stored one."""


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
        request: IdempotentRequest | None,
        answer: type[A],
        work: Callable[[], Awaitable[A]],
        *,
        about: Callable[[A], int],
    ) -> A:
        """Run `work` in a transaction that also stores its answer, or return the answer that was stored.

        Only successes are stored: an error undoes the work and frees the key. Without a request it only runs `work`.

        Args:
            request: The request with its key, or `None` if it has no key.
            answer: The type of the answer.
            work: What the request does.
            about: Returns the id of the user that the answer is about; the answer is deleted with that user.

        Raises:
            KeyUsedOtherwise: The key was used for another request.
            KeyInUse: The first request with the key is still in progress.
        """
        if request is None:
            return await work()
        async with self._turn(request), self._connection.transaction(isolation="read_committed"):
            if not await self._claim(request):
                request.replayed()
                return _json(answer).validate_json(await self._kept(request))
            done = await work()
            made = fingerprint(await request.content(), self._secrets[0])
            kept = _json(answer).dump_json(done).decode()
            await self._connection.execute(STORE_ANSWER, _caller(request), request.key, made, kept, about(done))
        return done

    @asynccontextmanager
    async def _turn(self, request: IdempotentRequest) -> AsyncIterator[None]:
        """Let requests of this process with the same key wait for each other, without a connection.

        Waiting in PostgreSQL holds a connection: a few repetitions of a slow import would use up the pool.
        """
        turn = self._turns.setdefault((_caller(request), request.key), asyncio.Lock())
        try:
            async with asyncio.timeout(self._patience):
                await turn.acquire()
        except TimeoutError as error:
            raise KeyInUse from error
        try:
            yield
        finally:
            turn.release()

    async def _claim(self, request: IdempotentRequest) -> bool:
        """Claim the key for this request. Return whether it was free."""
        try:
            claimed: bool | None = await self._connection.fetchval(
                CLAIM_KEY, _caller(request), request.key, self._ttl_seconds, timeout=self._patience
            )
        except TimeoutError as error:
            raise KeyInUse from error
        return claimed is True

    async def _kept(self, request: IdempotentRequest) -> str:
        """Return the stored answer. Raises `KeyUsedOtherwise` if it belongs to another request."""
        kept = await self._connection.fetchrow(GET_ANSWER, _caller(request), request.key)
        assert kept is not None  # the conflict has locked it
        content = await request.content()
        if not any(hmac.compare_digest(kept["fingerprint"], fingerprint(content, secret)) for secret in self._secrets):
            raise KeyUsedOtherwise
        answer: str = kept["answer"]
        return answer


def _json(answer: type[A]) -> TypeAdapter[A]:
    """Return what turns an answer into JSON and back."""
    if answer not in _adapters:
        _adapters[answer] = TypeAdapter(answer)
    return _adapters[answer]


def fingerprint(content: bytes, key: bytes) -> bytes:
    """Return the fingerprint of a request. The prefix separates it from other signatures by the same secret."""
    return hmac.digest(key, b"idempotency\0" + content, "sha256")


def _caller(request: IdempotentRequest) -> int:
    return NO_CALLER if request.caller is None else request.caller
