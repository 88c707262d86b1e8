"""What the project claims about speed, measured: one binary for each claim."""
