"""Endpoints about the service itself: health, documentation, diagnostics."""
