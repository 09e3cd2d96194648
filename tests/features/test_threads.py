"""Numbers of threads and filters of warnings are as they were after a call, in whatever order calls end."""

import functools
import warnings

import cv2
import pytest
import threadpoolctl

from features import threads
from features.threads import algebra_on_one_thread, opencv_on_one_thread, torch_on_one_thread, warnings_ignored


@pytest.fixture(autouse=True)
def four_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(4)
    yield
    cv2.setNumThreads(before)


def test_opencv_has_as_many_threads_as_before_also_after_an_error():
    def fail():
        with opencv_on_one_thread():
            raise ValueError(f"{cv2.getNumThreads()} inside")

    with pytest.raises(ValueError, match="1 inside"):
        fail()
    assert cv2.getNumThreads() == 4


def test_blocks_that_overlap_restore_when_the_last_one_ends():
    first, second = opencv_on_one_thread(), opencv_on_one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == 4


def test_libraries_that_are_loaded_while_others_are_held_are_restored_as_well():
    """Non-regression: of two predictions that overlapped, the second to end restored the 1 that the first had set."""
    counts = {"blas": 8, "new": 4}

    def libraries(*names):
        return [
            (name, functools.partial(counts.get, name), functools.partial(counts.__setitem__, name)) for name in names
        ]

    held = threads._OneThread()
    first, second = held.block(libraries("blas")), held.block(libraries("blas", "new"))
    first.__enter__()
    second.__enter__()
    assert counts == {"blas": 1, "new": 1}
    first.__exit__(None, None, None)
    assert counts == {"blas": 1, "new": 1}
    second.__exit__(None, None, None)
    assert counts == {"blas": 8, "new": 4}


def test_linear_algebra_has_as_many_threads_as_before():
    pytest.importorskip("sklearn.utils._openmp_helpers")  # loads OpenMP, whatever other tests have run

    def counts():
        return [library["num_threads"] for library in threadpoolctl.threadpool_info()]

    with threadpoolctl.threadpool_limits(2):
        before = counts()
        with algebra_on_one_thread(), algebra_on_one_thread():
            assert set(counts()) == {1}
        assert counts() == before


def test_torch_has_as_many_threads_as_before():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with torch_on_one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_warning_is_ignored_inside_alone():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with warnings_ignored(UserWarning, "not me"):
            warnings.warn("not me", UserWarning, stacklevel=1)
            warnings.warn("but me", UserWarning, stacklevel=1)
        warnings.warn("not me", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["but me", "not me"]


def test_overlapping_blocks_leave_the_filters_of_warnings_as_they_were():
    """Non-regression test: after a training with two jobs, the process ignored every ``UserWarning`` for good."""
    before = list(warnings.filters)
    first, second, catching = warnings_ignored(UserWarning), warnings_ignored(FutureWarning), warnings.catch_warnings()
    again = warnings_ignored(UserWarning)
    for block in (first, second, catching, again):
        block.__enter__()
    for block in (first, again, second, catching):  # the filters that the library found held those of both blocks
        block.__exit__(None, None, None)
    assert list(warnings.filters) == before


def test_an_observer_leaves_opencv_as_it_was(monkeypatch):
    """While it looks at a frame OpenCV has one thread; before and after, as many as the caller gave it."""
    from extract.clip import observe

    seen = []

    class Empty:
        frames_expected = 0
        frames_per_second = 0.0

        def frames(self):
            seen.append(cv2.getNumThreads())
            raise ValueError("no frame")

    observer = observe.Observer(identities=False)
    assert cv2.getNumThreads() == 4
    with pytest.raises(ValueError, match="no frame"):
        observer.observe(Empty())
    assert (seen, cv2.getNumThreads()) == ([1], 4)
