"""Imports and exports of many items."""
