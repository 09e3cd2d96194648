"""Training of the networks that score faces."""
