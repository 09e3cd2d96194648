"""Collect what a page shows of one clip beside its verdict: scored faces, series, a filmstrip, every cue.

The measuring process does this after the row and from the same Observation, so the row is the same as without
evidence. Images are thinned out until all of them together fit into one page.

Run as a program, this module is the child process of an :class:`~extract.run.examiner.Examiner`; its argument is a
:class:`Request` in JSON. It sends the row as soon as the row is measured, so that no failure of the evidence costs it.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from extract.clip.face_recorder import FaceRecorder
from extract.run import evidence_store, worker
from extract.run.child import serve
from extract.run.examiner import ROW, Request, without_evidence
from extract.run.messages import Tell, encode
from extract.run.worker import Result, Settings
from features import discovery, measuring, spec
from features.clip_series import audio_series, person_series
from features.evidence import ClipEvidence, JudgedFace, Person, Series
from features.networks import face_map
from features.networks.weights import use_weights
from features.observation import Observation, Track
from features.threads import opencv_on_one_thread

logger = logging.getLogger(__name__)

FACE_PX = 160
JPEG_QUALITY = 80
MAX_JPEG_BYTES = 1_800_000  # all images of a clip: 2.4 MB as Base64 in a page
TELL_EVERY_S = 0.5
PASS_SHARE = 0.6  # fraction of the measuring time that the pass over a ten-second clip takes, on one core
REST = {"stage": "judging more faces", "share": 0.75}
NETWORKS = frozenset({"crops", "weights"})  # the needs of a face network, by which it is recognised


def measured(
    filename: str, path: str, settings: Settings, request: Request, progress: Callable[[float], None] | None = None
) -> Iterator[Result]:
    """Yield a clip's row as soon as it is known, and once more after the evidence was written or failed.

    The second row says why the evidence could not be made. ``progress`` is called with the fraction of the clip's
    frames that were processed.
    """
    recorder = FaceRecorder(faces_per_second=request.faces_per_second, filmstrip=request.show_faces, told=progress)
    result, observed = worker.measured(filename, path, settings, recorder)
    yield result
    if observed is None:
        return
    try:
        collected = collect(observed, recorder, result, settings, show_faces=request.show_faces)
        evidence_store.save(collected, Path(request.file))
        yield result
    except MemoryError:
        yield without_evidence(result, "out of memory")
    except OSError as error:
        yield without_evidence(result, f"its file can't be written ({error})")
    except Exception as error:
        logger.exception("the evidence could not be made")
        yield without_evidence(result, f"{type(error).__name__}: {error}")


def collect(
    observed: Observation, recorder: FaceRecorder, result: Result, settings: Settings, *, show_faces: bool
) -> ClipEvidence:
    """Collect the evidence of a clip from an observation and the recorder that was attached to it.

    Parameters
    ----------
    observed, recorder
        Results of the same pass over the clip.
    result
        The clip's row.
    settings
        Settings of the row. Families that the row lacks are measured here.
    show_faces
        Whether images are kept.
    """
    families = discovery.families()
    width, height = observed.frame_size
    # The page counts time from the first frame, or from the start of the audio: broadcast streams do not begin at 0.
    start_s = float(observed.times_s[0]) if len(observed.times_s) else observed.audio_start_s
    shown = replace(observed, times_s=observed.times_s - start_s, audio_start_s=observed.audio_start_s - start_s)
    with use_weights(settings.weights_files), opencv_on_one_thread():
        people = [_person(shown, recorder.with_faces(track), families, show_faces) for track in shown.tracks]
        audio = audio_series(shown, families)
        cues = _cues(observed, result, settings, families)
    strip = [(time_s - start_s, _jpeg(image)) for time_s, image in recorder.filmstrip()] if show_faces else []
    return ClipEvidence(
        filename=result.filename,
        duration_s=observed.duration_s,
        width=width,
        height=height,
        people=_thinned(people, MAX_JPEG_BYTES - sum(len(jpeg) for _, jpeg in strip)),
        n_faces_detected=observed.n_faces,
        audio=audio,
        filmstrip=tuple(strip),
        cues=cues,
        lead_s=_lead_s(observed, start_s),
    )


def _lead_s(observed: Observation, start_s: float) -> float:
    """Return by how many seconds the audio begins before ``start_s``, the time 0 of a page."""
    return 0.0 if observed.audio is None else max(0.0, start_s - observed.audio_start_s)


def _person(observed: Observation, track: Track, families: Sequence[spec.Family], show_faces: bool) -> Person:
    series = person_series(observed, track, families)
    networks = [family.name for family in families if family.needs >= NETWORKS]
    logits = {name: series[f"{name}.logit"] for name in networks if f"{name}.logit" in series}
    seen = np.isfinite(track.landmarks).all(axis=(1, 2))
    boxes = _as_shown(_fractions(track.box, observed.frame_size), observed.quarters_turned)
    times_s = observed.times_s[track.frame_index]
    faces = [
        JudgedFace(
            float(times_s[sample]),
            (*boxes[sample].tolist(),),
            _jpeg(crop) if show_faces else b"",
            _at(logits, float(times_s[sample])),
        )
        for sample, crop in zip(track.crop_index.tolist(), track.crops, strict=True)
    ]
    mapped = [name for name in logits if name in spec.family_modules()]  # a plug-in's network may be of any kind
    return Person(times_s[seen], boxes[seen], tuple(faces), series, **_face_map(track, faces, mapped, show_faces))


def _face_map(track: Track, faces: Sequence[JudgedFace], networks: Sequence[str], show_faces: bool) -> dict[str, Any]:
    """Return the fields of a :class:`Person` that hold the face map; none without a scored face."""
    scores = [_mean([face.logits[name] for name in networks if name in face.logits]) for face in faces]
    mapped = face_map.of_track(track, scores, networks)
    if mapped is None:
        return {}
    return {
        "face_map_jpeg": _jpeg(mapped.image, side_px=face_map.MAP_PX) if show_faces else b"",
        "face_regions": {region: score for region, score in mapped.scores.items() if math.isfinite(score)},
        "face_map_times_s": tuple(faces[number].time_s for number in mapped.crops),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _at(logits: dict[str, Series], time_s: float) -> dict[str, float]:
    """Return the finite values that the series have at the time of a scored face."""
    at_time = {name: series.values[series.times_s == time_s] for name, series in logits.items()}
    return {name: float(values[0]) for name, values in at_time.items() if np.isfinite(values).any()}


def _as_shown(boxes: NDArray[np.float32], quarters: int) -> NDArray[np.float32]:
    """Return boxes [n, 4], fractions of frames that were turned by ``quarters``, as fractions of what players show."""
    for _ in range(quarters):
        left, top, right, bottom = boxes.T
        boxes = np.stack([1 - bottom, left, 1 - top, right], axis=1)
    return boxes


def _fractions(box: NDArray[np.float32], frame_size: tuple[int, int]) -> NDArray[np.float32]:
    return np.clip(box / np.array([*frame_size, *frame_size], np.float32), 0.0, 1.0).astype(np.float32)


def _cues(
    observed: Observation, result: Result, settings: Settings, families: Sequence[spec.Family]
) -> dict[str, float]:
    """Return the columns of all families as in a table: the row's columns, and those of the families it lacks."""
    others = [family for family in families if family.name not in settings.families]
    values, _ = measuring.measure_clip(observed, others)
    row = dict(zip(worker.column_names(settings.families), result.values.tolist(), strict=True))
    every = row | {name: float(np.float32(value)) for name, value in values.items()}
    return {column.name: every[column.name] for family in families for column in family.table_columns}


def _jpeg(image: NDArray[np.uint8], *, side_px: int = FACE_PX) -> bytes:
    """Encode an RGB image as JPEG, at most ``side_px`` wide."""
    if image.shape[1] > side_px:
        size = (side_px, max(1, round(image.shape[0] * side_px / image.shape[1])))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes()


def _thinned(people: Sequence[Person], budget: int) -> tuple[Person, ...]:
    """Return the people with images of at most ``budget`` bytes.

    Every second, third, ... face keeps its image, and so does each network's peak.
    """
    step = 1
    while True:
        fewer = [_with_every(step, person) for person in people]
        size = sum(len(person.face_map_jpeg) + sum(len(face.jpeg) for face in person.faces) for person in fewer)
        if size <= budget or step > max(len(person.faces) for person in people):
            return tuple(fewer)
        step += 1


def _with_every(step: int, person: Person) -> Person:
    names = {name for face in person.faces for name in face.logits}
    peaks = {_peak(person.faces, name) for name in names}
    faces = [
        face if number % step == 0 or number in peaks else replace(face, jpeg=b"")
        for number, face in enumerate(person.faces)
    ]
    return replace(person, faces=tuple(faces))


def _peak(faces: Sequence[JudgedFace], name: str) -> int:
    """Return the index of the face that a network scores as the most fake."""
    return int(np.argmax([face.logits.get(name, -np.inf) for face in faces]))


class _Reporter:
    """Report the progress of the pass over the frames, at most every :data:`TELL_EVERY_S` seconds."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._told_at = tell, -math.inf

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S or share == 1.0:
            self._told_at = now
            self._tell({"stage": "following faces" if share < 1.0 else "measuring", "share": PASS_SHARE * share})


def _prepare(settings: Settings, tell: Tell) -> Callable[[str, str], Result]:
    worker.load_families(settings)
    request = Request(**json.loads(sys.argv[1]))

    def measure(filename: str, path: str) -> Result:
        rows = measured(filename, path, settings, request, _Reporter(tell))
        row = next(rows)
        tell({ROW: encode(row), **REST})
        return next(rows, row)

    return measure


if __name__ == "__main__":
    serve(_prepare)
