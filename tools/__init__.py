"""What a person runs before, after or around training."""
