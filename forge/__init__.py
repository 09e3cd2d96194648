"""Real clips in, labelled forgeries out: demo data, training data, augmentation."""
