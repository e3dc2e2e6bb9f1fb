"""Settings: all values that can be set, the source of each value, and messages for mistakes in them.

The section of a feature lies with the feature; this package puts the sections together and reads them. Classes take their
section as an argument: only entry points, `containers.py` and the start import this package.
"""

from service.settings.settings import Settings, shown
from service.settings.sources import EXIT_STATUS, ConfigurationError

__all__ = ["EXIT_STATUS", "ConfigurationError", "Settings", "shown"]
