"""One application for each peer, as its users write it. `app` is the application; `settings.py` has the settings."""
