"""Programs of one page each on the same container and services, to run, read and copy."""
