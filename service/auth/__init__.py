"""Signing in: from a password to an access token, and from the token to a caller."""
