"""The command line, over everything below."""
