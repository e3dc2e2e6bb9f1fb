"""Rate limits of attempts, counted in PostgreSQL for all workers and machines together.

The limiter counts attempts to sign in and to register; the storage keeps any counts of the library `limits`. Limits of the
connection pool, of bodies or of imports lie with those.
"""
