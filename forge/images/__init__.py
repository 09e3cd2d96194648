"""Forged and augmented face images, to train networks on."""
