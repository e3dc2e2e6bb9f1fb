"""The peers, a module for each, as their users write them. `app` is the application; the settings are in `settings.py`."""
