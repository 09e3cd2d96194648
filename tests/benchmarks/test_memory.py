"""Whether a measuring process grows: known memory gives the ratio, and what says nothing about growth is refused."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import memory
from extract.run.worker import Result

MIB = 2**20


@pytest.fixture
def child(monkeypatch):
    """A measuring process that has these sizes in MiB, process IDs and statuses, clip after clip."""
    given = SimpleNamespace(
        resident_mb=[50, 100, 120, 150], pids=[7, 7, 7, 7], statuses=["ok"] * 4, n=0, is_closed=False
    )

    class Sandbox:
        def __init__(self, *_):
            """Nothing is started."""

        def measure(self, filename, _path):
            given.n += 1
            return Result(filename, given.statuses[given.n - 1], "", np.empty(0, np.float32))

        def close(self):
            given.is_closed = True

    class Process:
        def children(self):
            rss = given.resident_mb[given.n - 1] * MIB
            return [SimpleNamespace(pid=given.pids[given.n - 1], memory_info=lambda: SimpleNamespace(rss=rss))]

    monkeypatch.setattr(memory, "Sandbox", Sandbox)
    monkeypatch.setattr(memory.psutil, "Process", Process)
    return given


def test_the_ratio_is_of_the_last_clip_over_the_second(child):
    figures = memory.measure(Path("clip.mp4"), 4, ("blink",))
    assert figures == {"clips": 4, "resident_mb": [50, 100, 120, 150], "ratio": 1.5}
    assert child.is_closed
    assert "100 MB after clip 2, 150 MB after clip 4 of the same 720p clip, ratio 1.50" in memory.report(figures)


@pytest.mark.parametrize(
    ("changes", "message"), [({"pids": [7, 7, 8, 8]}, "replaced"), ({"statuses": ["ok", "crashed"]}, "crashed")]
)
def test_what_says_nothing_about_growth_is_refused(child, changes, message):
    vars(child).update(changes)
    with pytest.raises(RuntimeError, match=message):
        memory.measure(Path("clip.mp4"), 4, ("blink",))
    assert child.is_closed
