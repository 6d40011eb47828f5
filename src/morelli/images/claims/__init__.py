"""What a file says of itself: read with limits, offline, and never mixed into what its pixels say."""
