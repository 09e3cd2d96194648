"""Evidence of an invented clip: people who blink and speak, a swap that the networks find, audio, and no real face."""

import functools
import io

import numpy as np
from PIL import Image, ImageDraw

from ensemble.verdict import Verdict, verdict_of
from features.evidence import ClipEvidence, Event, JudgedFace, Person, Series

MANIFEST = {
    "summary": {"synthetic": False, "n_clips": 234, "n_groups": 144},
    "metrics": {"stack": {"log_loss": {"value": 0.62}}, "constant": {"log_loss": {"value": 0.69}}},
    "families": {"forensic_cnn": 4, "forensic_residual": 2, "forensic_voice": 2},
    "target_prior": 0.5,
    "clip": 0.08,
}


@functools.cache
def face_jpeg(width, height, tint, text=""):
    """A JPEG of a drawn face."""
    image = Image.new("RGB", (width, height), (60 + tint % 120, 90, 110))
    draw = ImageDraw.Draw(image)
    x, y, r = width / 2, height / 2, height * 0.36
    draw.ellipse((x - 0.8 * r, y - r, x + 0.8 * r, y + r), fill=(225, 190, 165))
    for side in (-1, 1):
        draw.ellipse(
            (x + side * 0.35 * r - 4, y - 0.2 * r - 3, x + side * 0.35 * r + 4, y - 0.2 * r + 3), fill=(40, 30, 30)
        )
    draw.arc((x - 0.4 * r, y, x + 0.4 * r, y + 0.6 * r), 20, 160, fill=(140, 50, 50), width=3)
    draw.text((4, 4), text, fill=(255, 255, 255))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def person(rng, duration_s, *, swap=None, per_second=2.0, fps=25.0, shift=0.0):
    """One person; between the seconds ``swap`` the networks see a fake."""
    t = np.arange(round(duration_s * fps)) / fps
    judged = np.arange(0.25, duration_s, 1 / per_second)
    fake = (judged > swap[0]) & (judged < swap[1]) if swap else np.zeros(len(judged), bool)
    scores = {
        "forensic_cnn": -1.2 + 0.5 * rng.standard_normal(len(judged)) + 3.6 * fake,
        "forensic_residual": -0.8 + 0.6 * rng.standard_normal(len(judged)) + 2.5 * fake,
    }
    openness = 1 + 0.04 * rng.standard_normal(len(t))
    blinks = [Event(float(s), float(s + 0.2), "blink") for s in np.arange(1.4, duration_s - 0.5, 2.9)]
    for one in blinks:
        openness[(t >= one.start_s) & (t < one.end_s)] = 0.2
    openness[(t > 0.6 * duration_s) & (t < 0.68 * duration_s)] = np.nan
    boxes = np.stack([0.35 + shift + 0.02 * np.sin(t), 0.2 + 0 * t, 0.6 + shift + 0.02 * np.sin(t), 0.8 + 0 * t], 1)
    series = {
        "forensic_cnn.logit": Series(judged, scores["forensic_cnn"], unit="log-odds", title="Face network"),
        "forensic_residual.logit": Series(
            judged, scores["forensic_residual"], unit="log-odds", title="Texture network"
        ),
        "blink.openness": Series(t, openness, unit="1", title="Eye openness", events=tuple(blinks)),
        "landmark_jitter.jitter": Series(
            np.arange(0.5, duration_s, 0.25),
            np.abs(0.01 + 0.003 * rng.standard_normal(len(np.arange(0.5, duration_s, 0.25)))),
            unit="iod",
            title="Jitter of the inner face",
        ),
        "quality.sharpness": Series(t[::5], 2 + 0.1 * np.sin(t[::5]), unit="log10", title="Sharpness", evidence=False),
    }
    faces = tuple(
        JudgedFace(
            float(s), tuple(map(float, boxes[int(s * fps)])), face_jpeg(160, 160, 7 * k, f"{s:.1f}"),
            {name: float(z[k]) for name, z in scores.items()},
        )
        for k, s in enumerate(judged)
    )  # fmt: skip
    return Person(t, boxes.astype(np.float32), faces, series)


def clip_evidence(duration_s=10.0, *, n_people=1, detected=None, audio=True, swap=(4.0, 6.0), seed=0, cues=None):
    """The clip; the first person is swapped between the seconds ``swap``."""
    rng = np.random.default_rng(seed)
    people = tuple(
        person(rng, duration_s, swap=None if number else swap, shift=0.25 * number - 0.1) for number in range(n_people)
    )
    windows = np.arange(0.5, duration_s - 0.4, 0.5)
    voice = {
        "forensic_voice.logit": Series(
            windows, -2.0 + 0.4 * rng.standard_normal(len(windows)), unit="log-odds", title="Synthetic speech"
        ),
        "voice.loudness": Series(
            np.arange(0, duration_s, 0.1), -25 + 8 * np.sin(np.arange(0, duration_s, 0.1)), unit="dB", title="Loudness",
            evidence=False,
        ),
    }  # fmt: skip
    strip = np.linspace(0, duration_s, 13)[:-1] + duration_s / 24
    return ClipEvidence(
        filename="clip.mp4",
        duration_s=duration_s,
        width=1280,
        height=720,
        people=people,
        n_faces_detected=n_people if detected is None else detected,
        audio=voice if audio else {},
        filmstrip=tuple((float(t), face_jpeg(160, 90, 9 * k, f"{t:.1f}")) for k, t in enumerate(strip)),
        cues=cues or {},
    )


def verdict(probability=0.87, *, filename="clip.mp4", n_faces=1, unmeasured=None, **more):
    """A verdict with contributions that sum to its log-odds."""
    z = float(np.log(probability / (1 - probability)))
    contributions = {"forensic_cnn": 0.6 * z - 0.02, "forensic_residual": 0.4 * z, "forensic_voice": 0.0}
    fields = {
        "status": "ok",
        "error": "",
        "duration_s": 10.0,
        "n_frames": 250,
        "base": 0.02,
        "contributions": contributions,
        "unmeasured": unmeasured or {},
    } | more
    return Verdict(filename, probability, verdict_of(probability), n_faces=n_faces, **fields)
