"""From a table to probabilities: folds, learners, stack, calibration, model folder, submission, report."""
