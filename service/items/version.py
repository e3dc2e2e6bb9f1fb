"""The version of an item, in SQL."""

ITEM_JSON = """
    '{"id":' || items.id || ',"title":' || to_json(items.title)
    || ',"description":' || coalesce(to_json(items.description)::text, 'null') || ',"owner_id":' || items.owner_id || '}'
"""
"""The JSON that clients get, byte for byte: `Item` as pydantic writes it."""

ITEM_TAG = f"left(encode(sha256(convert_to({ITEM_JSON}, 'UTF8')), 'hex'), 32)"
"""An item's version: `service.web.representation.tag_of` of its JSON."""
