"""The single pass over a clip that produces its Observation.

Every frame is decoded once. Its luma serves duplicate and cut detection, face detection, landmarks and optical flow;
only crops are converted to colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from extract.clip.face_recorder import FaceRecorder
from extract.clip.faces import FaceDetector
from extract.clip.frame import FULL_LEVELS, Frame
from extract.clip.track_choice import one_per_person
from extract.clip.track_linking import MAX_GAP_S, linked
from extract.clip.tracks import TrackBuilder, Tracker
from features.measures.freeze_frames import held_samples
from features.networks.dlib_models import EMBEDDING_DIMENSIONS
from features.networks.face_embedding import with_embeddings
from features.observation import AUDIO_RATE_HZ, Observation, Track
from features.threads import opencv_on_one_thread

DETECT_EVERY_S = 0.4
RECHECK_FRAMES = 3  # frames between two detections that a doubtful track triggers
THUMB_STEP = 16  # duplicates and cuts are detected on every 16th pixel of every 16th row
CUT_LEVELS = 20.0  # a cut changes the thumbnail by more grey levels than this on average ...
CUT_CORRELATION = 0.6  # ... and leaves less of its pattern than this
TURN_VOTES = 3  # searches with a doubtful face that decide whether a clip's frames have to be turned
UPRIGHT, TURNED = 1.2, 0.3  # the upright score that faces have in turned frames, and its distance to that as coded
MIN_TRACK_S = 1.0  # minimum length of a face track; half the clip where the clip is shorter than twice that
MIN_SHOT_S = 0.45  # of a track in a clip that is cut so fast that no track lasts MIN_TRACK_S; holds two detections
MIN_FACE_PX = 24.0
MAX_TRACKS = 3
STILL_SHARE, STILL_WEIGHT = 0.8, 0.25  # a face held still for so much of its track is a photo, and counts so much less


class Footage(Protocol):
    """Interface of what the observer reads: an opened clip, or a still."""

    @property
    def frames_expected(self) -> int:
        """Number of frames by the packets; 0 where unknown."""
        ...

    @property
    def frames_per_second(self) -> float:
        """Mean frame rate by the packets; 0 where unknown."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Upright frames, times increasing; from the first one again at each call."""
        ...

    def audio(self) -> tuple[NDArray[np.float32] | None, float]:
        """Mono audio at 16 kHz and the time of its first sample."""
        ...

    def warnings(self) -> tuple[str, ...]:
        """Faults met while reading."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Decisions taken while reading."""
        ...


class Observer:
    """Load the detectors once and observe clip after clip; no state carries over from one clip to the next.

    Parameters
    ----------
    identities
        Compute the face embeddings that the identity family needs: the most expensive part of a short clip.
    detector
        Face detector; a new :class:`extract.clip.faces.FaceDetector` by default.
    """

    def __init__(self, *, identities: bool = True, detector: FaceDetector | None = None) -> None:
        self._detector = detector or FaceDetector()
        self._identities = identities

    def observe(self, clip: Footage, recorder: FaceRecorder | None = None, *, embedded: bool = True) -> Observation:
        """Observe a clip on one thread; a recorder receives every frame with the tracked faces.

        One pass; another one where the faces lie on their side or are upside down, in frames that are turned upright,
        and another one where most frames have another size than the first.

        An audio-only file has an Observation without frames. Without ``embedded``, embeddings are computed when a
        family asks for them, with the same values.

        Raises
        ------
        ClipError
            The clip can't be read, or holds neither a frame nor audio.
        """
        with opencv_on_one_thread():
            return self._observe(clip, recorder, embedded=embedded and self._identities)

    def _observe(self, clip: Footage, recorder: FaceRecorder | None, *, embedded: bool) -> Observation:
        scene = self._followed(clip, recorder)
        if quarters := scene.quarters_to_turn:
            scene = self._followed(clip, recorder, quarters=quarters)
        if scene.usual_size != scene.size:  # a short start in another size: once more, in the size of most frames
            scene = self._followed(clip, recorder, scene.usual_size, quarters=quarters)
        audio, audio_start_s = clip.audio()
        times = np.array(scene.times, np.float64)
        if not len(times) and audio is not None:
            return _of_audio_only(clip, audio, audio_start_s)
        step = float(np.diff(times).mean()) if len(times) > 1 else 0.0
        tracks, n_tracks = _tracks(scene.tracker.finish(), times, scene.cuts, identities=self._identities)
        if embedded:
            tracks = tuple(with_embeddings(track, main=number == 0) for number, track in enumerate(tracks))
        n_faces = max(n_tracks, scene.n_at_once)
        return Observation(
            times_s=times,
            frame_size=scene.size,
            duration_s=float(times[-1] - times[0] + step),
            duplicate=np.array(scene.duplicate, bool),
            tracks=tracks,
            audio=audio,
            audio_start_s=audio_start_s,
            n_faces=n_faces,
            luma_levels=scene.levels,
            warnings=clip.warnings(),
            quarters_turned=quarters,
            notes=(*clip.notes(), *scene.notes(), *_notes(len(tracks), n_faces)),
        )

    def _followed(
        self,
        clip: Footage,
        recorder: FaceRecorder | None,
        size: tuple[int, int] | None = None,
        *,
        quarters: int | None = None,
    ) -> _Scene:
        """Read all frames, turned by ``quarters`` and scaled to ``size`` or to that of the first.

        If ``quarters`` is None, stop as soon as it is known that they have to be turned.
        """
        self._detector.reset()
        if recorder is not None:
            recorder.clear()
        scene = _Scene(self._detector, clip, size, quarters)
        for frame in clip.frames():
            scene.add(frame)
            if scene.quarters_to_turn:
                break
            if recorder is not None:
                recorder.see(frame, scene.tracker.open, of=clip.frames_expected)
        return scene


def _of_audio_only(clip: Footage, audio: NDArray[np.float32], audio_start_s: float) -> Observation:
    """Return the Observation of an audio-only file: no frame, no face, and its audio."""
    return Observation(
        times_s=np.zeros(0, np.float64),
        frame_size=(0, 0),
        duration_s=len(audio) / AUDIO_RATE_HZ,
        duplicate=np.zeros(0, bool),
        tracks=(),
        audio=audio,
        audio_start_s=audio_start_s,
        n_faces=0,
        warnings=clip.warnings(),
        notes=clip.notes(),
    )


class _Scene:
    """State of the pass: decides when to detect faces, and finds cuts and repeated frames."""

    def __init__(
        self,
        detector: FaceDetector,
        clip: Footage,
        size: tuple[int, int] | None = None,
        quarters: int | None = None,
    ) -> None:
        self._quarters = quarters
        self._upright: list[NDArray[np.float64]] = []
        self.tracker = Tracker(clip.frames_expected, frames_per_second=clip.frames_per_second)
        self.times: list[float] = []
        self.duplicate: list[bool] = []
        self.cuts: list[int] = []
        self.size = size or (0, 0)
        self._sizes: Counter[tuple[int, int]] = Counter()
        self.levels = FULL_LEVELS
        self._detector = detector
        self._detect_at_s = -np.inf
        self._detected_index = -RECHECK_FRAMES
        self._searches = 0
        self._counts: list[int] = []
        self._luma: NDArray[np.uint8] | None = None
        self._thumb: NDArray[np.float32] | None = None

    def add(self, frame: Frame) -> None:
        if self._quarters:
            frame.turn(self._quarters)
        size = frame.luma.shape[1], frame.luma.shape[0]
        self._sizes[size] += 1
        self.size = self.size if any(self.size) else size
        if size != self.size:  # the stream changes its frame size midway
            frame.fit(self.size)
        luma = frame.luma
        self.levels = frame.levels
        self.times.append(frame.time_s)
        thumb, before = _thumb(luma), self._thumb
        same = before is not None and np.array_equal(thumb, before)
        self.duplicate.append(bool(same and self._luma is not None and np.array_equal(luma, self._luma)))
        cut = before is not None and _is_cut(thumb, before)
        if cut:
            self.cuts.append(frame.index)
            self.tracker.cut()
        if cut or self._due(frame):
            self._detect(frame)
        self.tracker.follow(frame, self._luma)
        self._luma, self._thumb = luma, thumb

    @property
    def usual_size(self) -> tuple[int, int]:
        """Width and height of most frames as they were read; of several such sizes, the first; (0, 0) without any."""
        return max(self._sizes, key=self._sizes.__getitem__, default=(0, 0))

    @property
    def quarters_to_turn(self) -> int:
        """Quarter turns counter-clockwise that make the faces upright; 0 also where unknown, or already turned."""
        if len(self._upright) < TURN_VOTES:
            return 0
        scores = np.mean(self._upright, axis=0)
        best = int(scores.argmax())
        return best if scores[best] >= UPRIGHT and scores[best] - scores[0] > TURNED else 0

    def notes(self) -> list[str]:
        """One sentence where frames were turned, and one where they were scaled."""
        notes = []
        if self._quarters:
            angle = f"{90 * self._quarters} degrees counter-clockwise"
            notes.append(f"faces are not upright; frames were turned by {angle}")
        if len(self._sizes) > 1:
            notes.append(
                "the frame size changes midway; frames were scaled to {} x {} px, the size of most frames".format(
                    *self.size
                )
            )
        return notes

    @property
    def n_at_once(self) -> int:
        """Largest number of simultaneous faces; the second largest count where the detector ran more than once."""
        counts = sorted(self._counts, reverse=True)
        return counts[min(1, len(counts) - 1)] if counts else 0

    def _due(self, frame: Frame) -> bool:
        doubt = self.tracker.doubtful and frame.index - self._detected_index >= RECHECK_FRAMES
        return doubt or frame.time_s >= self._detect_at_s

    def _detect(self, frame: Frame) -> None:
        found_before = bool(self.tracker.open or self.tracker.closed)
        self._searches += 1
        rare = self._searches & (self._searches - 1) == 0  # the 1st, 2nd, 4th, 8th, ...
        faces = self._detector.detect(frame.luma, thorough=rare and not found_before)
        self._counts.append(sum(face.side >= MIN_FACE_PX for face in faces))
        open_vote = self._quarters is None and len(self._upright) < TURN_VOTES
        if open_vote and (rare or faces) and not any(face.sure for face in faces):
            self._vote(frame, found=bool(faces))
        self.tracker.detections(faces)
        self._detect_at_s, self._detected_index = frame.time_s + DETECT_EVERY_S, frame.index

    def _vote(self, frame: Frame, *, found: bool) -> None:
        """Note how upright the frame's faces are; a frame without any counts only if turned frames show one."""
        scores = self._detector.upright_scores(frame.luma)
        if found and scores.argmax() == 0:
            self._quarters = 0  # upright as coded: nothing more to find out
        elif found or scores.max() >= UPRIGHT:
            self._upright.append(scores)


def _thumb(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = max(1, min(THUMB_STEP, min(luma.shape) // 8))
    return luma[::step, ::step].astype(np.float32)


def _is_cut(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    if a.shape != b.shape or np.abs(a - b).mean() <= CUT_LEVELS:
        return False
    if not (a.std() and b.std()):
        return True
    return bool(np.corrcoef(a.ravel(), b.ravel())[0, 1] < CUT_CORRELATION)


def _tracks(
    builders: list[TrackBuilder], times: NDArray[np.float64], cuts: list[int], *, identities: bool
) -> tuple[tuple[Track, ...], int]:
    """Return the face tracks that are kept, the main one first (see :func:`_lasting`), and the number of candidates.

    With identities, each person's first track precedes every person's second. Where the clip is cut so fast that no
    track lasts long enough, a person's shots are joined across any gap, and shorter tracks are kept.
    """
    half_s = float(times[-1] - times[0]) / 2
    pieces = [_track(builder) for builder in builders]
    kept = _lasting(linked(pieces, times, cuts), times, least_s=min(MIN_TRACK_S, half_s))
    if cuts and not kept:
        apart = linked(pieces, times, cuts, max_gap_s=np.inf)
        kept = _lasting(apart, times, least_s=min(MIN_SHOT_S, half_s))
    chosen = one_per_person(kept, MAX_TRACKS) if identities else kept[:MAX_TRACKS]
    return tuple(chosen), len(kept)


def _lasting(tracks: list[Track], times: NDArray[np.float64], *, least_s: float) -> list[Track]:
    """Return the tracks of large enough faces that last ``least_s``, by duration times area, the largest first.

    A face that never moves, as on a poster, a print or a photo laid over the video, counts a quarter, so that a person
    beside it is the main face.
    """
    kept: list[tuple[float, Track]] = []
    for track in tracks:
        seen = np.isfinite(track.landmarks[:, 0, 0])
        lasts = float(times[track.frame_index[-1]] - times[track.frame_index[0]])
        sides = np.maximum(track.box[:, 2] - track.box[:, 0], track.box[:, 3] - track.box[:, 1])
        if seen.any() and lasts >= least_s and np.median(sides) >= MIN_FACE_PX:
            weight = STILL_WEIGHT if _is_photo(track, times) else 1.0
            kept.append((float(weight * seen.sum() * np.median(sides) ** 2), track))
    return [track for _, track in sorted(kept, key=lambda item: -item[0])]


def _is_photo(track: Track, times: NDArray[np.float64]) -> bool:
    """Whether a face is held still for nearly all of its track."""
    return bool(held_samples(track, times_s=times[track.frame_index]).mean() >= STILL_SHARE)


def _notes(n_followed: int, n_faces: int) -> list[str]:
    if not n_faces > n_followed > 0:
        return []
    again = f"a face that reappears after more than {MAX_GAP_S:g} s counts again"
    return [f"{n_faces} faces detected, {n_followed} tracked ({again})"]


def _track(builder: TrackBuilder) -> Track:
    """Convert a builder's samples to arrays; samples after the last confirming detection become NaN."""
    samples = builder.samples
    landmarks = np.stack(samples.landmarks)
    flow = np.stack(samples.flow)
    landmarks[builder.confirmed :] = np.nan
    flow[builder.confirmed :] = np.nan
    sharpness = np.stack(samples.sharpness)
    sharpness[builder.confirmed :] = np.nan
    crops = builder.crops.chosen(np.isfinite(landmarks[:, 0, 0]))
    return Track(
        frame_index=np.array(samples.frame_index, np.int32),
        landmarks=landmarks,
        flow=flow,
        box=np.stack(samples.box),
        detector_score=np.array(samples.detector_score, np.float32),
        sharpness=sharpness,
        crop_index=np.array([record.sample for record in crops], np.int32),
        crop_box=np.array([record.window for record in crops], np.float32).reshape(-1, 3),
        crops=tuple(record.crop for record in crops),
        embedding=np.full((len(crops), EMBEDDING_DIMENSIONS), np.nan, np.float32),
        patch_face=tuple(record.patch_face for record in crops),
        patch_background=tuple(record.patch_background for record in crops),
    )
