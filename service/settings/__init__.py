"""The configuration: what can be set, where each value comes from, and what is wrong with it."""

from service.settings.settings import Settings, shown
from service.settings.sources import EXIT_STATUS, ConfigurationError

__all__ = ["EXIT_STATUS", "ConfigurationError", "Settings", "shown"]
