"""The life of a container: its database opened, migrated where that is wanted, and closed."""

from service.startup.container import container_scope, open_database, opened

__all__ = ["container_scope", "open_database", "opened"]
