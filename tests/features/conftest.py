"""The fixtures of :mod:`people`, for every test of this folder."""

from people import make_observation, make_track, rng, talking_head

__all__ = ["make_observation", "make_track", "rng", "talking_head"]
