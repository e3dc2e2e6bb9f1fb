"""What Alembic runs for each command: on the connection that `runner` gives it, or into text with `--sql`."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name="postgresql", literal_binds=True)
else:
    context.configure(connection=connection, transaction_per_migration=True)

with context.begin_transaction():
    context.run_migrations()
