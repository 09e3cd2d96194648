"""What a cue is and how each is measured: pure functions of an :class:`~features.observation.Observation`."""
