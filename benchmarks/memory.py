"""Whether a measuring process grows from clip to clip: its resident memory after clip 2 and after clip 8, as a ratio.

    python -m benchmarks.memory

One child process, with every family, measures the same synthetic 720p clip again and again. The first clips load the
models and fill the caches; after that the memory should stay as it is, so that the ratio is near 1. A leak per clip
shows as a ratio that grows with ``--clips``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from extract.run.sandbox import Limits, Sandbox
from extract.run.worker import Settings
from features import discovery
from forge.clips.write import Encoder, write_clip
from forge.demo.dataset import record

SIZE = (1280, 720)
FPS, DURATION_S = 25.0, 4.0
WARM = 2  # clips after which models are loaded and caches are full
CLIP = "clip.mp4"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; always 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8, help="how often the clip is measured (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / CLIP
        make_clip(clip)
        figures = measure(clip, max(WARM, arguments.clips), tuple(family.name for family in discovery.families()))
    print(json.dumps(figures) if arguments.json else report(figures))
    return 0


def make_clip(file: Path, *, size: tuple[int, int] = SIZE, duration_s: float = DURATION_S) -> None:
    """Write a synthetic clip of a talking portrait with speech; the same clip every time."""
    rng = np.random.default_rng(0)
    clip = record("astronaut", file.name, size=size, fps=FPS, duration_s=duration_s, rng=rng)
    write_clip(clip, file, Encoder.sample(rng))


def measure(clip: Path, times: int, families: Sequence[str]) -> dict[str, Any]:
    """Measure a clip several times in one child process.

    Returns
    -------
    dict
        ``resident_mb``, the child's resident memory in MiB after every clip, and ``ratio``, the last of them over the
        one after clip :data:`WARM`.

    Raises
    ------
    RuntimeError
        The clip could not be measured, or the child was replaced by another.
    """
    sandbox = Sandbox(Settings(tuple(families)), Limits())
    resident_mb: list[float] = []
    processes = set()
    try:
        for _ in range(times):
            result = sandbox.measure(CLIP, str(clip))
            if result.status != "ok":
                raise RuntimeError(f"the clip could not be measured: {result.status} ({result.error})")
            (child,) = psutil.Process().children()
            processes.add(child.pid)
            resident_mb.append(child.memory_info().rss / 2**20)
    finally:
        sandbox.close()
    if len(processes) != 1:
        raise RuntimeError("the measuring process was replaced: its memory says nothing about growth")
    return {"clips": times, "resident_mb": resident_mb, "ratio": resident_mb[-1] / resident_mb[WARM - 1]}


def report(figures: dict[str, Any]) -> str:
    """The figures as one line."""
    warm_mb, last_mb = figures["resident_mb"][WARM - 1], figures["resident_mb"][-1]
    return (
        f"resident memory of a measuring process: {warm_mb:.0f} MB after clip {WARM}, "
        f"{last_mb:.0f} MB after clip {figures['clips']} of the same 720p clip, ratio {figures['ratio']:.2f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
