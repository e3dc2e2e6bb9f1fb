"""The patterns, a module for each, written as their users write them. `benchmarks.traps.pattern` says what each offers."""
