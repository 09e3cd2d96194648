"""Clips of a synthetic portrait: one, and a folder of a clip and a broken file."""

import shutil

import pytest
from clip_maker import frames_of, write_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A clip of 30 frames with one face and a tone."""
    from skimage.data import astronaut

    return write_clip(tmp_path_factory.mktemp("clip") / "talk.mp4", frames_of(astronaut(), 30, (320, 240)), tone_s=1.2)


@pytest.fixture(scope="session")
def folder(clip, tmp_path_factory):
    """A folder that holds the clip and a file that is no video."""
    folder = tmp_path_factory.mktemp("folder")
    shutil.copy(clip, folder / "talk.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder
