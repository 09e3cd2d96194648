"""Forged clips with labels, made from real clips: the user's way to training data."""
