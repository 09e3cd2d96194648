"""cnn_embedding: where the face networks' inner descriptions of the faces lie, and how far from genuine ones.

A network's last layer before its logit (1,280 numbers a face) says more than the logit does: about kinds of forgery,
but also about cameras, light and compression. A fixed linear projection with orthonormal axes reduces it to 32 numbers,
for ``forensic_cnn`` and for ``forensic_residual``: principal components of development crops, found without labels
(:mod:`training.faces.projections`). Networks of training folds have axes of their own, aligned with these by the
orthogonal Procrustes problem (Schonemann 1966). ``c01`` to ``c32`` are in order of the variance that they explain.
``real_dist`` is the distance to the nearest prototype of genuine faces: the centre of a cluster of REAL crops.

The networks run once for this family and for their own. Columns of a clip that a network was trained on must be out of
fold, as its logits must be (``deepcue oof``).

Confounds: every crop of a clip is framed differently (:data:`features.networks.crop_views.VIEWS`), and the ``_std``
and ``step_mean`` columns contain that change of framing. On 14 clips, ``cnn_step_mean`` is 1.2 to 5.0 for eight copies
of one crop, and 1.7 to 6.5 for the crops themselves; so these columns can't tell a still image from a moving face.
Components describe the source (camera, compression, pose) more than a forgery. On 234 clips they took
predictions of unseen manipulations to chance (docs/experiments/026): don't trust them on unknown sources. Learners
read them in large tables, and in small ones if they help on held-out sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from features.networks.logit_columns import CropScores, chosen, score_track
from features.networks.projection import DIMENSIONS, FAMILY, NETWORKS, Projection, known_networks, projection_of
from features.observation import Observation, Track
from features.spec import Column, family

MAX_LENGTH = 6.0 * np.sqrt(1280)  # of an embedding: 1,280 numbers from 0 to 6 (ReLU6)
TITLES = {"forensic_cnn": "face network", "forensic_residual": "texture network"}
_SOURCE = "training/faces; Schonemann 1966"


def _columns() -> Iterator[Column]:
    def column(name: str, description: str, low: float = 0.0) -> Column:
        return Column(f"{FAMILY}.{name}", range=(low, MAX_LENGTH), reference=_SOURCE, description=description)

    for network, prefix in NETWORKS.items():
        whose = f"the {TITLES[network]}'s description of the faces"
        for k in range(1, DIMENSIONS + 1):
            component = f"{prefix}_c{k:02}"
            yield column(f"{component}_mean", f"Component {k} of {whose}, mean over the face crops.", low=-MAX_LENGTH)
            yield column(
                f"{component}_std",
                f"Component {k} of {whose}, standard deviation over the face crops, each framed differently; missing "
                "with one crop.",
            )
        yield column(
            f"{prefix}_step_mean",
            f"Mean distance of {whose} from one face crop to the next in time, each of which is framed differently: "
            "copies of one image give 1 to 7; missing with one crop.",
        )
        yield column(
            f"{prefix}_real_dist_mean",
            f"Distance of {whose} to the nearest genuine development faces, mean over the face crops.",
        )
    yield Column(
        f"{FAMILY}.valid_share",
        range=(0.0, 1.0),
        direction="covariate",
        description="Fraction of the analysed face crops that were large enough for the networks.",
    )


COLUMNS = tuple(_columns())


def summarise(embeddings: np.ndarray, projection: Projection) -> dict[str, float]:
    """Summarise the embeddings of a face track's crops.

    Parameters
    ----------
    embeddings : ndarray of shape (n, d)
        In order of time; rows that are not finite are left out.
    projection
        Of the network that gave them.

    Returns
    -------
    dict
        Column names without family and network; nothing without a finite row. ``std`` and ``step_mean`` are NaN for
        one crop.

    Examples
    --------
    >>> axes = np.eye(40)[:, :32]
    >>> values = summarise(3.0 * np.eye(40)[:2], Projection(np.zeros(40), axes, np.zeros((1, 32))))
    >>> values["c01_mean"], values["c01_std"], round(values["step_mean"], 3), values["real_dist_mean"]
    (1.5, 1.5, 4.243, 3.0)
    """
    z = projection.project(embeddings[np.isfinite(embeddings).all(axis=1)])
    if not len(z):
        return {}
    several = len(z) > 1
    spread = z.std(axis=0) if several else np.full(z.shape[1], np.nan)
    values = {f"c{k:02}_mean": value for k, value in enumerate(z.mean(axis=0), 1)}
    values |= {f"c{k:02}_std": value for k, value in enumerate(spread, 1)}
    values["step_mean"] = np.linalg.norm(np.diff(z, axis=0), axis=1).mean() if several else np.nan
    values["real_dist_mean"] = projection.distance(z).mean()
    return {name: float(value) for name, value in values.items()}


def of_scores(scores: Mapping[str, CropScores], *, n_crops: int) -> dict[str, float]:
    """Columns of the embeddings that each network (by its family) gave of some of ``n_crops`` crops.

    All NaN for a network whose weights or projection are missing, or that scored no crop.

    Raises
    ------
    ModelError
        The projections exist but can't be used, or were fitted for other weights.
    """
    row = {column.name: float("nan") for column in COLUMNS}
    share = 0.0
    for network, result in scores.items():
        projection = projection_of(network)
        if projection is None or not len(result.logits):
            continue
        values = summarise(result.embeddings, projection)
        row |= {f"{FAMILY}.{NETWORKS[network]}_{name}": value for name, value in values.items()}
        share = max(share, len(result.logits) / n_crops) if values else share
    return row | {f"{FAMILY}.valid_share": share}


@family(FAMILY, version=2, needs={"crops", "weights"}, columns=COLUMNS)
def measure(observation: Observation, track: Track) -> dict[str, float]:
    """Columns of one face track; all NaN without weights or projections.

    Raises
    ------
    ModelError
        A file exists but can't be used, or the projections were fitted for other weights.
    """
    scores = {network: score_track(track, network) for network in known_networks()}
    return of_scores(scores, n_crops=len(chosen(len(track.crops))))
