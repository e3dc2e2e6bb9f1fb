"""Requests that are carried out once however often they arrive: `Idempotency-Key`."""
