"""A slow endpoint and `Server-Timing`, which show how the service behaves. Only with `diagnostics.enabled`."""
