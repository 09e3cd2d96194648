"""Training of the networks that judge faces."""
