"""How often something may be tried, counted in PostgreSQL for all workers and machines together."""
