"""The service: users and items on one declarative container."""
