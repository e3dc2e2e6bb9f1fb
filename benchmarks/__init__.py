"""Measurements of the service and of its peers. The wheel does not include them."""
