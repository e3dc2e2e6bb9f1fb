"""The settings of every peer, and the SQL of the peers without an ORM."""

import os

DSN = os.environ["DATABASE_URL"]
SIZE = int(os.environ["POOL_SIZE"])
"""Connections of the pool. All are opened at the start."""

COLUMNS = "id, name, email, city, amount, active, created_at"
READ = f"SELECT {COLUMNS} FROM records WHERE id = $1"
LIST = f"SELECT {COLUMNS} FROM records ORDER BY id OFFSET $1 LIMIT $2"
PREVIOUS = f"SELECT {COLUMNS} FROM records WHERE id < $1 ORDER BY id DESC LIMIT 1"
NEXT = f"SELECT {COLUMNS} FROM records WHERE id > $1 ORDER BY id LIMIT 1"
CREATE = f"""
    INSERT INTO records (name, email, city, amount, active)
    VALUES ($1, $2, $3, $4, $5)
    RETURNING {COLUMNS}
"""
