"""The command `poolkeeper`."""
