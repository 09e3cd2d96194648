"""What the learned families run: the networks, the face embedding, and their weights files."""
