"""The HTTP server of a process: uvicorn's protocols with limits, when a request is read, and the garbage collector.

What happens before a request reaches the application belongs here. What happens to a request in the application belongs in
`service.web.middleware`.
"""

from service.web.server.protocol import BatchedProtocol

__all__ = ["BatchedProtocol"]
