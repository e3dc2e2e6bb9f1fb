"""The documentation page: Swagger UI, served by the service itself."""
