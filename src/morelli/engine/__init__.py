"""Work on many items, spread over this process or a Ray cluster; the caller cannot tell which but by the clock."""
