"""Alembic's environment, which runs each command: on the connection of `runner`, or as text with `--sql`."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name="postgresql", literal_binds=True)
else:
    limits = context.config.attributes["limits"]
    context.configure(
        connection=connection,
        transaction_per_migration=True,
        on_version_apply=lambda ctx, **_: ctx.connection.exec_driver_sql(
            limits
        ),  # a revision may have set its own limits
    )

with context.begin_transaction():
    context.run_migrations()
