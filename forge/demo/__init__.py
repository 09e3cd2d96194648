"""A synthetic data set for `make demo`: an animated portrait that speaks, and forgeries of it."""
