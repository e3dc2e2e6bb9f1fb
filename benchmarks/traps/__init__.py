"""Traps that a database layer in FastAPI can fall into, each tried on a row of patterns against a real PostgreSQL."""
