"""Measures single pieces of the service, in time and in instructions."""
