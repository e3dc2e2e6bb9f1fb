"""Endpoints about the service itself: health, documentation, diagnostics.

They are for operators and developers, and hold no data of users. What the edge does to each request belongs to `service.web`.
"""
