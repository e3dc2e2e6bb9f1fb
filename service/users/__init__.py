"""Users: who owns items."""
