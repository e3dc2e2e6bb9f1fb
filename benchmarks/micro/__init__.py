"""What single pieces of the service cost: by the clock, and in instructions."""
