"""Endpoints that show how the service behaves; only where `diagnostics.enabled`."""
