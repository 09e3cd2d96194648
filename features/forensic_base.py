"""What a network that never saw a generator's clip says of a person's faces: logits, positive for a forgery.

It learned from stills of one challenge and from forgeries made of real faces alone (self-blended images, Shiohara &
Yamasaki 2022; transplants; resynthesis; faces that published networks drew). :mod:`features.forensic_cnn` went on from
it. It knows less, but what it knows belongs to no clip that it is judged on: no labelled clip can have leaked into it.
"""

from __future__ import annotations

from features import face_network
from features.observation import Observation, Track
from features.spec import family

NAME = "forensic_base"


@family(NAME, version=3, needs={"crops"}, columns=face_network.columns(NAME, "EfficientNet-Lite0, phase base"))
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Columns of one person; all NaN without weights.

    Raises
    ------
    ModelError
        The weights file is there but can't be used.
    """
    return face_network.measure(track, NAME)
