"""The service with one more resource, `records`, added by `docs/add-a-resource.md`; only its table is not migrated."""
