"""Programs of a page each, on the same container and services: to run, to read, to copy from."""
