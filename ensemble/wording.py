"""The sentences that stand beside a probability: caveats, bounds, and which model predicted.

:mod:`ensemble.verdict` decides which of them a clip gets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOTE = (
    "A score is evidence, not proof: it reflects how similar training clips were labelled, and says nothing of intent."
)
NOTE_NOTHING = (
    "Nothing could be measured that the model was trained on: the number is only the assumed fraction of FAKE clips, "
    "not a finding."
)
NOTE_NO_FINDING = (
    "Nothing could be measured that the model was trained on, so there is no finding: neither that the clip is real "
    "nor that it is fake."
)
"""Replaces :data:`NOTE_NOTHING` where no number is shown."""
NO_VIDEO, NO_VIDEO_CUE = "the file holds no video", "no cue of the video could be measured"
NO_SPEECH = "no video in the file, and no speech was found in its audio"
NOTE_AUDIO_ONLY = (
    "Only the audio was evaluated: {why}, and the video stays at its prior. By itself, the shipped speech detector has "
    "an AUC of 0.93 on synthetic speech of systems that it was not trained on."
)
NOTE_NO_SPEECH = "The file holds no video, and no speech was found in its audio."
# A convention: the mean of both face networks on the re-encoded copies of docs/experiments/032, out of fold, has AUC
# 0.51 where the eyes are under 32 px apart (101 clips, 28 of them FAKE) and 0.56 above (133, 90). It is one of several
# cuts that were tried, and the two differ no more than by chance. 32 px between the eyes are a face of 74 px.
SMALL_FACE_PX = 74
NOTE_SMALL = (
    "The face is only about {width} px wide in the file. On re-encoded copies with faces under {limit} px the face "
    "networks told fake from real faces hardly better than chance (AUC 0.51; 0.56 with larger faces)."
)
NOTE_SHORT = "Only {frames} could be evaluated. That is little evidence; the probability does not account for it."
NOTE_SHORT_VIDEO = (
    "Only {frames} of video could be evaluated. That is little evidence; the video's part of the probability does not "
    "account for it."
)
"""Replaces :data:`NOTE_SHORT` where speech was measured as well."""
NOTE_STILL = (
    "Most of the analysed faces are the same image, as in a frozen frame: the probability rests on few different "
    "images, and cues of motion say little."
)
NOTE_STILL_VIDEO = NOTE_STILL.replace("the probability rests", "the video's part of the probability rests")
# Below the lowest value of quality.noise_imm_face_med in the 116 genuine clips of the norms, 0.31; genuine faces that
# were blurred or pixelated have 0.08 to 0.27; so have 4 of 12 genuine faces at CRF 42, or darkened to
# 35 %.
LITTLE_DETAIL = 0.30
NOTE_NO_DETAIL = (
    "The face has hardly any fine detail, as one that was blurred or pixelated to hide it, smoothed or enlarged, "
    "heavily compressed, or very dark: the face networks may take such a face for a fake even if it is genuine."
)
NOTE_PEAK = (
    "The face networks score one moment much more like a fake than the rest. The probability describes the whole clip, "
    "and a short forgery hardly changes it: the page of the clip (--report) shows when."
)
MAIN_FACE = "Most cues are measured on the main face only{others}: a fake of another face may be missed."
HIGHEST_OF_OTHERS = "; of the other faces, the face networks' highest score counts"
NOTE_FACES = "{n} faces were detected (a face that reappears after more than 1 s counts again). {main_face}"
NOTE_FACES_OF_LIST = "Some clips have several faces. {main_face}"
NOTE_NO_DETAIL_OF_LIST = (
    "Some faces have hardly any fine detail, which can raise the probability of genuine faces too; --json lists which."
)
NOTE_LITTLE_OF_LIST = "Some probabilities rest on a short stretch or on one frozen image; --json lists which."


def main_face(*, with_networks: bool) -> str:
    """Return which face the number describes; ``with_networks`` where the model reads scores of every face."""
    return MAIN_FACE.format(others=HIGHEST_OF_OTHERS if with_networks else "")


def of_small_face(width_px: float) -> str:
    """Return the caveat for a main face of this width in the file."""
    return NOTE_SMALL.format(width=math.floor(width_px), limit=SMALL_FACE_PX)


def of_short_stretch(n_frames: int, seconds: float, *, with_speech: bool) -> str:
    """Return the caveat for a number that rests on so many frames; 0 seconds where their duration is unknown."""
    over = f" over {seconds:g} s" if seconds else ""
    template = NOTE_SHORT_VIDEO if with_speech else NOTE_SHORT
    return template.format(frames=f"{n_frames} frame{'s' * (n_frames != 1)}{over}")


def bound_in_words(probability: float) -> str:
    """Return what is said beside a probability at a bound of its model.

    >>> bound_in_words(0.97), bound_in_words(0.03)
    ('or more', 'or less')
    """
    return "or more" if probability > 0.5 else "or less"


def model_line(manifest: dict[str, Any], folder: Path) -> str:
    """Describe the model: its folder, what it was trained on, and its log loss.

    Where the manifest has the log loss of a stricter protocol than the training's own folds, under ``reported``
    (``protocol``, ``log_loss`` with ``value``, ``low`` and ``high``, ``constant``), that one is given.
    """
    summary = manifest.get("summary") or {}
    kind = "SYNTHETIC clips" if summary.get("synthetic") else "clips"
    text = f"model {folder}: trained on {summary.get('n_clips', '?')} {kind} of {summary.get('n_groups', '?')} groups"
    try:
        if reported := manifest.get("reported"):
            protocol = reported["protocol"].replace("and people", "and identities")  # the shipped manifest's words
            where, loss, constant = f"on {protocol}", reported["log_loss"], reported["constant"]
        else:
            scores = manifest["metrics"]
            where, loss = "out of fold", scores["stack"]["log_loss_target_prior"]
            constant = scores["constant"]["log_loss_target_prior"]["value"]
        return f"{text}; log loss {where} {_with_interval(loss)}, of the constant predictor {constant:.3f}"
    except (AttributeError, KeyError, TypeError, ValueError):
        return text


def track_record(manifest: Mapping[str, Any]) -> str:
    """Return how well the model ranks clips, in counts; empty where its manifest has no AUC.

    As in :func:`model_line`, the score of a stricter protocol replaces that of the training's own folds.

    >>> auc = {"value": 0.758, "low": 0.712, "high": 0.799}
    >>> track_record({"reported": {"protocol": "unseen people", "auc": auc}})
    'Tested on unseen people, this model scored the fake above the genuine clip in 76 of 100 pairs (chance: 50).'
    """
    reported = manifest.get("reported") or {}
    try:
        if reported:
            where, auc = reported["protocol"].replace("and people", "and identities"), reported["auc"]["value"]
        else:
            where, auc = "groups of its training clips that were held out", manifest["metrics"]["stack"]["auc"]["value"]
        pairs = round(100 * auc)
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""
    return f"Tested on {where}, this model scored the fake above the genuine clip in {pairs} of 100 pairs (chance: 50)."


def _with_interval(score: Mapping[str, float | None]) -> str:
    """Return ``0.580 [0.548, 0.611]``; without the interval where none is defined."""
    value, low, high = score["value"], score.get("low"), score.get("high")
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
