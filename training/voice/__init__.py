"""Training of the model that scores speech."""
