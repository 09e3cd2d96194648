"""Turn a feature table into probabilities: folds, learners, stack, calibration, model folder, submission, verdicts."""
