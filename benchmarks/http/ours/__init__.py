"""The service with one more resource, `records`, added as `docs/add-a-resource.md` describes, but without a migration."""
