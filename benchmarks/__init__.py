"""Measurements of the service beside others. Nothing here is part of what is installed."""
