"""Users: registration, reading and changing them, their passwords and admin rights.

Signing in, tokens and the hashing of passwords belong to `service.auth`; the items of users belong to `service.items`.
"""
