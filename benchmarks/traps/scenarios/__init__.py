"""The scenarios, in the order of the table. Each takes a `Stage` and raises `Broke` if the pattern falls into the trap."""

from collections.abc import Awaitable, Callable

from benchmarks.traps.scenarios import connections, elsewhere, lifetimes, transactions
from benchmarks.traps.stage import Stage

Scenario = Callable[[Stage], Awaitable[None]]

SCENARIOS: tuple[Scenario, ...] = (
    connections.own_connections,
    transactions.one_transaction,
    transactions.commit_before_response,
    transactions.conflict_rolls_back,
    transactions.swallowed_error,
    connections.no_deadlock,
    lifetimes.sleeping_handler,
    lifetimes.stream_and_background,
    connections.gather,
    lifetimes.task_outlives_request,
    connections.cancellation,
    connections.clean_sessions,
    connections.first_use,
    elsewhere.without_request,
    elsewhere.in_a_thread,
    elsewhere.in_a_websocket,
    transactions.survives_rollback,
    elsewhere.pipelined,
)
