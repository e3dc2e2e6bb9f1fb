"""Measures what the service costs as work grows: memory, lists, starts, and the rate by workers, pool size and clients."""
