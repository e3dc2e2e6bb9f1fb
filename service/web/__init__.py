"""HTTP: everything between the socket and a router. It imports no feature."""
