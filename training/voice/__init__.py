"""Training of the model that judges speech."""
