"""Store the evidence of a clip in one file: an uncompressed ``.npz`` of numbers and JPEG images, described by JSON.

The file holds no pickle, so loading it executes no code. A load returns exactly what was saved.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import DatasetError
from features.evidence import ClipEvidence, Event, JudgedFace, Person, Series
from features.observation import DAMAGED
from features.places import in_place_of

EVIDENCE_VERSION = 2
"""Version of the file layout; files of any other version are refused."""


class _Images:
    """Concatenated JPEG files; the length of each is stored elsewhere."""

    def __init__(self, content: bytes = b"") -> None:
        self._content, self._at, self._added = content, 0, [content]

    def add(self, jpeg: bytes) -> int:
        self._added.append(jpeg)
        return len(jpeg)

    def next(self, length: int) -> bytes:
        self._at += length
        return self._content[self._at - length : self._at]

    def array(self) -> NDArray[np.uint8]:
        return np.frombuffer(b"".join(self._added), np.uint8)


def save(evidence: ClipEvidence, file: Path) -> None:
    """Write a clip's evidence atomically: the file appears whole or not at all.

    Raises
    ------
    OSError
        The file can't be written.
    """
    arrays: dict[str, NDArray[Any]] = {}
    images = _Images()
    about = {
        "version": EVIDENCE_VERSION,
        "filename": evidence.filename,
        "duration_s": evidence.duration_s,
        "width": evidence.width,
        "height": evidence.height,
        "n_faces_detected": evidence.n_faces_detected,
        "people": [_of_person(person, f"person{n}", arrays, images) for n, person in enumerate(evidence.people)],
        "sound": _of_series(evidence.audio, "sound", arrays),
        "filmstrip": [(time_s, images.add(jpeg)) for time_s, jpeg in evidence.filmstrip],
        "cues": list(evidence.cues),
        "lead_s": evidence.lead_s,
    }
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    arrays["cues"] = np.array(list(evidence.cues.values()), np.float64)
    arrays["pictures"] = images.array()
    with in_place_of(file) as temporary, temporary.open("wb") as opened:
        np.savez(opened, **arrays)  # type: ignore[arg-type]  # the stub takes the arrays for options


def load(file: Path) -> ClipEvidence:
    """Read what :func:`save` wrote.

    Raises
    ------
    DatasetError
        The file is missing or damaged, has another version, or is not a file of evidence.

    Examples
    --------
    >>> load(Path("gone"))
    Traceback (most recent call last):
    features.errors.DatasetError: gone: can't be read as evidence of a clip (FileNotFoundError); measure the clip again
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            return _loaded(archive)
    except (OSError, *DAMAGED) as error:
        why = str(error) if isinstance(error, _VersionError) else type(error).__name__
        raise DatasetError(f"{file}: can't be read as evidence of a clip ({why}); measure the clip again") from error


class _VersionError(ValueError):
    pass


def _loaded(archive: Any) -> ClipEvidence:
    about = json.loads(archive["about"].tobytes())
    if about["version"] != EVIDENCE_VERSION:
        raise _VersionError(f"version {about['version']}; this program reads version {EVIDENCE_VERSION}")
    images = _Images(archive["pictures"].tobytes())
    return ClipEvidence(
        filename=about["filename"],
        duration_s=about["duration_s"],
        width=about["width"],
        height=about["height"],
        people=tuple(_person(person, f"person{n}", archive, images) for n, person in enumerate(about["people"])),
        n_faces_detected=about["n_faces_detected"],
        audio=_series(about["sound"], "sound", archive),
        filmstrip=tuple((time_s, images.next(length)) for time_s, length in about["filmstrip"]),
        cues=dict(zip(about["cues"], archive["cues"].tolist(), strict=True)),
        lead_s=about.get("lead_s", 0.0),  # earlier versions of deepcue did not write it
    )


def _of_person(person: Person, place: str, arrays: dict[str, NDArray[Any]], images: _Images) -> dict[str, Any]:
    arrays[f"{place}.boxes_times_s"], arrays[f"{place}.boxes"] = person.boxes_times_s, person.boxes
    return {
        "faces": [
            {"time_s": face.time_s, "box": face.box, "jpeg": images.add(face.jpeg), "logits": dict(face.logits)}
            for face in person.faces
        ],
        "face_map_jpeg": images.add(person.face_map_jpeg),
        "face_regions": dict(person.face_regions),
        "face_map_times_s": person.face_map_times_s,
        "series": _of_series(person.series, place, arrays),
    }


def _person(about: Mapping[str, Any], place: str, archive: Any, images: _Images) -> Person:
    faces = tuple(
        JudgedFace(face["time_s"], tuple(face["box"]), images.next(face["jpeg"]), face["logits"])
        for face in about["faces"]
    )
    return Person(
        boxes_times_s=archive[f"{place}.boxes_times_s"],
        boxes=archive[f"{place}.boxes"],
        faces=faces,
        face_map_jpeg=images.next(about["face_map_jpeg"]),
        face_regions=about["face_regions"],
        face_map_times_s=tuple(about.get("face_map_times_s", ())),  # nor this
        series=_series(about["series"], place, archive),
    )


def _of_series(every: Mapping[str, Series], place: str, arrays: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    for name, series in every.items():
        arrays[f"{place}.{name}.times_s"], arrays[f"{place}.{name}.values"] = series.times_s, series.values
    return [
        {
            "name": name,
            "unit": series.unit,
            "title": series.title,
            "events": [(event.start_s, event.end_s, event.name) for event in series.events],
            "evidence": series.evidence,
            "window_s": series.window_s,
        }
        for name, series in every.items()
    ]


def _series(about: Iterable[Mapping[str, Any]], place: str, archive: Any) -> dict[str, Series]:
    return {
        series["name"]: Series(
            archive[f"{place}.{series['name']}.times_s"],
            archive[f"{place}.{series['name']}.values"],
            unit=series["unit"],
            title=series["title"],
            events=_events(series["events"]),
            evidence=series["evidence"],
            window_s=series.get("window_s", 0.0),  # earlier versions of deepcue did not write it
        )
        for series in about
    }


def _events(rows: Iterable[Sequence[Any]]) -> tuple[Event, ...]:
    return tuple(Event(*row) for row in rows)
