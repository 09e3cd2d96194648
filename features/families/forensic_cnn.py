"""forensic_cnn: whether the faces look forged to a network that learned from many generators' clips.

Logits, positive for a forgery. EfficientNet-Lite0, trained on labelled stills of one challenge and on forgeries made of
real faces (self-blended images of Shiohara & Yamasaki 2022, transplants, resynthesis, faces that published networks
drew), then on labelled clips; its weights are halfway between before and after: see ``ensemble/cnn.py`` and
docs/MODEL_CARD.md. Confounds: heavy compression hides forgeries from it; a generator that it never saw, and that
renders clean pictures, may look real.
"""

from __future__ import annotations

from features.networks import logit_columns
from features.observation import Observation, Track
from features.spec import family

NAME = "forensic_cnn"
COLUMNS = logit_columns.columns(NAME, "EfficientNet-Lite0, trained by ensemble/cnn.py")


@family(NAME, version=4, needs={"crops", "weights"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Columns of one person; all NaN without weights.

    Raises
    ------
    ModelError
        The weights file is there but can't be used.
    """
    return logit_columns.measure(track, NAME)
