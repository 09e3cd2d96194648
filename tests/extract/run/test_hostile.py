"""A hundred broken files: a row each, and no end of the run."""

from collections import Counter

import numpy as np
import pytest

from extract.entries import ClipEntry
from extract.run import engine, worker
from extract.run.sandbox import Limits

KINDS = {
    "a.mp4": {"tone_s": 0.5},
    "b.mkv": {"tone_s": 0.5, "codec": "libx264"},
    "c.avi": {"codec": "mpeg4"},
    "d.mpg": {"codec": "mpeg2video"},
    "e.webm": {"codec": "libvpx"},
}
PER_KIND = 21  # every mutation three times, every suffix, and two heads of another container


def flip_bits(content, rng):
    for place in rng.integers(0, len(content), rng.integers(1, 40)):
        content[place] ^= 1 << int(rng.integers(8))
    return content


def flip_header(content, rng):
    for place in rng.integers(0, min(len(content), 700), rng.integers(1, 8)):
        content[place] = int(rng.integers(256))
    return content


def truncate(content, rng):
    return content[: int(rng.integers(1, len(content)))]


def behead(content, rng):
    return content[int(rng.integers(1, len(content) // 2)) :]


def blank(content, rng):
    start = int(rng.integers(0, len(content)))
    stop = min(len(content), start + int(rng.integers(1, 2000)))
    content[start:stop] = bytes(stop - start)
    return content


def absurd_numbers(content, rng):
    """Big-endian fields of all ones or zeros: dimensions, rates, durations, sizes."""
    for place in rng.integers(0, len(content) - 4, 3):
        content[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"])
    return content


def repeat(content, rng):
    start = int(rng.integers(0, len(content)))
    return content[:start] + content[start // 2 : start] + content[start:]


MUTATIONS = (flip_bits, flip_header, truncate, behead, blank, absurd_numbers, repeat)


@pytest.fixture
def mutants(make_clip, tmp_path):
    rng = np.random.default_rng(0)
    originals = {name: make_clip(name, n=12, **options).read_bytes() for name, options in KINDS.items()}
    heads = list(originals.values())
    out = []
    for name, content in originals.items():
        for number in range(PER_KIND):
            mutant = MUTATIONS[number % len(MUTATIONS)](bytearray(content), rng)
            if number % 10 == 9:  # another container's head
                mutant[:400] = heads[int(rng.integers(len(heads)))][:400]
            suffix = ["mp4", "mkv", "webm", "avi"][number % 4] if number % 3 == 0 else name.split(".")[1]
            path = tmp_path / f"{name[0]}{number:03}.{suffix}"
            path.write_bytes(bytes(mutant))
            out.append(ClipEntry(path.name, str(path)))
    return out


@pytest.mark.slow
def test_a_hundred_mutants_get_a_row_each(mutants):
    assert len(mutants) >= 100
    settings = worker.Settings(families=("blink",), max_seconds=20)
    results = {r.filename: r for r in engine.run(mutants, settings, Limits(timeout_s=30, memory_mb=2048), jobs=2)}
    assert sorted(results) == sorted(clip.filename for clip in mutants)
    states = Counter(result.status for result in results.values())
    assert all(r.error for r in results.values() if r.status != "ok")
    assert states["unreadable"] > 10  # the mutations bite ...
    assert states["partial"] + states["ok"] + states["no_audio"] > 10  # ... and what is left is measured
    assert not [r for r in results.values() if "Error" in r.error and r.status == "crashed"]  # no bug of ours
