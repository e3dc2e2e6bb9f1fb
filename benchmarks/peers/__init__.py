"""How each peer that is both measured and tried gets its connections, written as its users write it.

`benchmarks.http.apps` builds on it for the HTTP benchmark, `benchmarks.traps.patterns` for the traps.
"""
