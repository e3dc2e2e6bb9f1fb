"""How each peer that is both measured and tried gets its connections, written as its users write it.

`benchmarks.http.apps` serves records with it, `benchmarks.traps.patterns` walks into the traps with it.
"""
