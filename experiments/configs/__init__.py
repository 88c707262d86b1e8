"""One file for each experiment; its head says what it shows, how to run it and its time."""
