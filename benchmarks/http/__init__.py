"""Compares the service over HTTP with its peers: one PostgreSQL, one table, response bodies that are equal byte for byte."""
