"""The command line: a file a command, over everything below."""
