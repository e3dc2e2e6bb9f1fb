"""Signing in: from a password to an access token, from a token to a caller, and what each caller may do.

Passwords are hashed here, and attempts to sign in or register are limited here. The users' own endpoints belong to
`service.users`, which imports this package: nothing here imports users.
"""
