"""Published contract checks and data writers for plug-ins and tests."""
