"""The binaries: flags to objects to library calls."""
