"""Compare the cost of extraction with that of decoding: CPU seconds, and ratios within one run.

    python -m benchmarks.extraction DATA --clips 10

Measures on the same clips, in one process after a warm-up: (a) decoding only, (b) the whole extraction with all
families, (c) the families again from kept observations; then clips per hour with one and with two workers. With
``--plain`` it also measures a plain script on the first clip, which takes a minute or more.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any

from extract.dataset import find_clips
from extract.entries import ClipEntry
from extract.run import engine, worker
from extract.run.sandbox import Limits
from features import discovery, measuring
from features.errors import InputError
from features.networks.dlib_models import DLIB_LANDMARKS, dlib_model

MIN_TIMED = 8  # smallest number of clips per worker for a rate


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; return 0, or 2 when the data can't be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", help="clips to measure on: a folder, manifest or URL")
    parser.add_argument("--clips", type=int, default=10, help="number of clips, evenly spread (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--no-scaling", action="store_true", help="leave out the comparison of one and two workers")
    parser.add_argument("--plain", action="store_true", help="compare with a plain script, on the first clip")
    arguments = parser.parse_args(argv)
    try:
        listed = find_clips(arguments.data)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    step = max(1, len(listed) // arguments.clips)
    clips = listed[::step][: arguments.clips]
    figures = measure(clips)
    if arguments.plain:
        figures |= compare_plain(clips[0].path)
    if not arguments.no_scaling:
        figures |= scaling(clips)
    print(json.dumps(figures) if arguments.json else report(figures))
    return 0


def measure(clips: Sequence[ClipEntry]) -> dict[str, Any]:
    """Measure CPU seconds of all parts over the clips, in this process."""
    families = tuple(family.name for family in discovery.families())
    with tempfile.TemporaryDirectory() as kept:
        plain, keeping = worker.Settings(families), worker.Settings(families, observations=kept)
        started = time.process_time()
        worker.measure(clips[0].filename, clips[0].path, plain)  # imports, models and caches
        warm_up = time.process_time() - started
        decode = _cpu(lambda: [_decode(clip) for clip in clips])
        with Stages() as stages:
            whole = _cpu(lambda: [worker.measure(clip.filename, clip.path, plain) for clip in clips])
        for clip in clips:
            worker.measure(clip.filename, clip.path, keeping)
        again = _cpu(lambda: [worker.measure(clip.filename, clip.path, keeping) for clip in clips])
    return {
        "clips": len(clips),
        "warm_up_cpu_s": warm_up,
        "decode_cpu_s": decode,
        "whole_cpu_s": whole,
        "again_cpu_s": again,
        "stages_cpu_s": dict(stages.spent),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def compare_plain(path: str) -> dict[str, Any]:
    """Measure CPU seconds of the plain script and of the whole extraction, on one clip."""
    settings = worker.Settings(tuple(family.name for family in discovery.families()))
    return {
        "plain_cpu_s": _cpu(lambda: plain_script(path)),
        "plain_whole_cpu_s": _cpu(lambda: worker.measure("plain", path, settings)),
    }


def plain_script(path: str) -> None:
    """Run a naive implementation: every frame in colour, a detector on each, landmarks, MFCC."""
    import dlib
    import librosa
    from moviepy import VideoFileClip

    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(dlib_model(DLIB_LANDMARKS))
    with VideoFileClip(path) as clip:
        for frame in clip.iter_frames():
            for face in detector(frame):
                predictor(frame, face)
        if clip.audio is not None:
            audio = clip.audio.to_soundarray(fps=16_000)
            librosa.feature.mfcc(y=audio.mean(axis=1), sr=16_000)


def scaling(clips: Sequence[ClipEntry]) -> dict[str, Any]:
    """Measure clips per hour of wall time with one and with two workers, without start-up."""
    settings = worker.Settings(tuple(family.name for family in discovery.families()))
    limits = Limits(timeout_s=600, memory_mb=8192)
    return {f"clips_per_hour_{jobs}": _rate(clips, settings, limits, jobs) for jobs in (1, 2)}


def _rate(clips: Sequence[ClipEntry], settings: worker.Settings, limits: Limits, jobs: int) -> float:
    """Measure clips per hour while all workers are busy; the first and last clips of the run don't count."""
    counted, warming = max(MIN_TIMED, len(clips)) * jobs, 2 * jobs
    stream = engine.run(list(islice(cycle(clips), warming + counted + jobs)), settings, limits, jobs=jobs)
    with contextlib.closing(stream):
        for _ in islice(stream, warming):
            pass
        started = time.monotonic()
        for _ in islice(stream, counted):
            pass
        return counted / (time.monotonic() - started) * 3600


class Stages:
    """Measure the parts of an extraction, by wrapping their functions within the context."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._undo: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Stages:
        from extract.clip import crop_reservoir, decode, faces, observe, tracks

        self._wrap(faces.FaceDetector, "detect", "faces")
        self._wrap(tracks, "landmarks", "landmarks")
        self._wrap(tracks.TrackBuilder, "_flow", "flow")
        self._wrap(crop_reservoir.CropReservoir, "take", "crops")
        self._wrap(observe, "linked", "linking")
        self._wrap(observe, "with_embeddings", "embeddings")
        self._wrap(decode.ClipReader, "audio", "audio")
        self._replace(decode.ClipReader, "frames", self._timed_frames(decode.ClipReader.frames))
        for part in ("_main_face", "_largest"):
            self._wrap(measuring, part, lambda family, *_: f"family {family.name}")
        return self

    def __exit__(self, *_: object) -> None:
        for owner, name, original in reversed(self._undo):
            setattr(owner, name, original)

    def _replace(self, owner: Any, name: str, new: Any) -> None:
        self._undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, new)

    def _wrap(self, owner: Any, name: str, stage: str | Callable[..., str]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def timed(*args: Any, **options: Any) -> Any:
            started = time.process_time()
            try:
                return original(*args, **options)
            finally:
                key = stage if isinstance(stage, str) else stage(*args)
                self.spent[key] += time.process_time() - started

        self._replace(owner, name, timed)

    def _timed_frames(self, original: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
        def frames(clip: Any) -> Iterator[Any]:
            stream = original(clip)
            while True:
                started = time.process_time()
                frame = next(stream, None)
                self.spent["decode"] += time.process_time() - started
                if frame is None:
                    return
                yield frame

        return frames


def _decode(clip: ClipEntry) -> int:
    from extract.clip import decode

    with decode.ClipReader(clip.path, max_seconds=worker.MAX_SECONDS) as opened:
        return sum(1 for _ in opened.frames())


def _cpu(action: Callable[[], object]) -> float:
    """Measure CPU seconds of this process and of children that end meanwhile (moviepy's ffmpeg)."""
    started = _spent()
    action()
    return _spent() - started


def _spent() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _ratio(a: float, b: float) -> str:
    """Format ``a / b``; "n/a" for a clip that is too short to take a measurable time."""
    return f"{a / b:5.2f}" if b else "  n/a"


def report(figures: dict[str, Any]) -> str:
    """Format the figures as text."""
    n, decode, whole, again = (figures[name] for name in ("clips", "decode_cpu_s", "whole_cpu_s", "again_cpu_s"))
    lines = [
        f"{n} clips; CPU seconds per clip, one thread (start-up {figures['warm_up_cpu_s']:.1f} s, once per worker)",
        f"  (a) decoding alone              {decode / n:7.2f}",
        f"  (b) the whole extraction        {whole / n:7.2f}   b/a {_ratio(whole, decode)}",
        f"  (c) from kept observations      {again / n:7.2f}   b/c {_ratio(whole, again)}",
        "  of (b):",
    ]
    stages = sorted(figures["stages_cpu_s"].items(), key=lambda item: -item[1])
    lines += [f"    {name:<30}{spent / n:7.3f}" for name, spent in stages]
    lines.append(f"    {'the rest':<30}{(whole - sum(spent for _, spent in stages)) / n:7.3f}")
    lines.append(f"peak memory of the process {figures['peak_memory_mb']:.0f} MB")
    if "plain_cpu_s" in figures:
        plain, whole_s = figures["plain_cpu_s"], figures["plain_whole_cpu_s"]
        lines.append(
            f"a plain script on the first clip: {plain:.1f} CPU s, {plain / whole_s:.1f} times (b)'s {whole_s:.2f}"
        )
    if "clips_per_hour_1" in figures:
        one, two = figures["clips_per_hour_1"], figures["clips_per_hour_2"]
        lines.append(f"clips per hour: {one:.0f} with one worker, {two:.0f} with two ({two / one:.2f}x)")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
