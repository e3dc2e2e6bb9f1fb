"""The server's protocols, and how a process serves."""
