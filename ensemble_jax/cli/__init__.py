"""The command line: flags to objects to library calls."""
