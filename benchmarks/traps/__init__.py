"""Tries mistakes that a database layer in FastAPI can make, on ten patterns and a real PostgreSQL."""
