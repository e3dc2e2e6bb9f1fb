"""The version of a user with its items, in SQL."""

from service.items.version import ITEM_JSON

USER_JSON = f"""
    '{{"id":' || users.id || ',"email":' || to_json(users.email) || ',"is_active":' || users.is_active || ',"items":['
    || coalesce((
        SELECT string_agg({ITEM_JSON}, ',' ORDER BY items.id)
        FROM (SELECT * FROM items WHERE owner_id = users.id ORDER BY id LIMIT 500) AS items
    ), '') || ']}}'
"""  # noqa: S608 - of constants
"""The JSON that clients get, byte for byte: `User` as pydantic writes it."""

USER_TAG = f"left(encode(sha256(convert_to({USER_JSON}, 'UTF8')), 'hex'), 32)"
"""A user's version: `service.web.representation.tag_of` of its JSON."""
