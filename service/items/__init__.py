"""Items, which users own: creating, reading, changing and deleting them, one by one or in bulk.

Their owners belong to `service.users`, which imports this package: nothing here imports users.
"""
