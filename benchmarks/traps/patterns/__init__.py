"""One module for each pattern, written as its users write it, with the interface in `benchmarks.traps.pattern`."""
