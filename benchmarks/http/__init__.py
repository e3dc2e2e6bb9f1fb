"""The service over HTTP beside its peers: one PostgreSQL, one table, one response body to the byte."""
