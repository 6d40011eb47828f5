"""The command line: one file a command, data on stdout, talk on stderr."""

from morelli.cli.app import main

__all__ = ["main"]
