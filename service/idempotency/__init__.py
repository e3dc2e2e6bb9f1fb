"""`Idempotency-Key`: a request that arrives several times is carried out once, and gets the same response each time.

`keys` stores keys and answers, and imports no FastAPI; `header` reads the header. What a request does belongs to its feature.
"""
