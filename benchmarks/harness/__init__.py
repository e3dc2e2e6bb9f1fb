"""What all benchmarks share: PostgreSQL, applications as processes, the load on them, processors and pictures."""
