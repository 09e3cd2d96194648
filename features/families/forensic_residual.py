"""forensic_residual: whether the faces' fine texture looks forged to a network that sees nothing else.

Scores are logits: log-odds that a face is fake. It was trained like :mod:`features.families.forensic_cnn`, on the same
images, but its input is the high-pass residual (:func:`features.networks.efficientnet_lite.residual`): colours, light
and shapes are gone; noise, edges and a decoder's texture stay. Its errors are largely complementary.

Confounds: every crop of a clip is framed differently (:data:`features.networks.crop_views.VIEWS`), and
``logit_std``, ``logit_step_mean``, ``logit_q10``, ``logit_q90`` and ``emb_disp`` contain that change of framing:
on 14 clips ``logit_step_mean`` is 0.21 to 0.76 for eight copies of one crop, and 0.35 to 1.19 for the crops
themselves; so these columns can't tell a still image from a moving face.
"""

from __future__ import annotations

from features.evidence import Series
from features.networks import logit_columns
from features.observation import Observation, Track
from features.spec import family

NAME = "forensic_residual"


def series(observation: Observation, track: Track) -> dict[str, Series]:
    """``forensic_residual.logit``, the score of every crop of a face track; empty without weights."""
    return logit_columns.series(observation, track, NAME, title="Texture network")


@family(
    NAME,
    version=5,
    needs={"crops", "weights"},
    columns=logit_columns.columns(NAME, "EfficientNet-Lite0 on residuals, trained by training/faces"),
    series=series,
)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Columns of one face track; all NaN without weights.

    Raises
    ------
    ModelError
        The weights file exists but can't be used.
    """
    return logit_columns.measure(track, NAME)
