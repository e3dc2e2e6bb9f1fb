"""The lifetime of a container: its database is opened, migrated if `migrate_on_start` is set, and closed.

The embedded server and the signals that interrupt a start are here. How the server stops belongs to `service.web`.
"""

from service.startup.container import container_scope, open_database, opened

__all__ = ["container_scope", "open_database", "opened"]
