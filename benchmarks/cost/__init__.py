"""What the service costs as work grows: memory, lists, starts, and where workers, pool and clients bend its rate."""
