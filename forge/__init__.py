"""Labelled forgeries from real clips: demo data, training data, augmentation."""
