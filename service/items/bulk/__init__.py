"""Imports and exports of items by the million, streamed in constant memory.

Single items and their schemas belong to `service.items`. Each import or export holds a connection while its client sends or
reads, which `slots` bounds.
"""
