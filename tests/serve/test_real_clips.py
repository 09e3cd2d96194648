"""Real measuring behind the page: the shipped model on a made clip, and processes that are killed."""

import json
import re

import psutil
import pytest
from audio_maker import speech, write_wave
from clip_maker import frames_of, write_clip
from events import wait_until
from page_server import Running

import deepcue
from ensemble.store import default_model
from ensemble.wording import NOTE_AUDIO_ONLY
from serve.server import Options, Server

pytestmark = pytest.mark.slow


def started(work, **options):
    """A server as the command starts it."""
    return Running(work, server=Server(Options(work=work, model=default_model(), port=0, **options)))


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    one = started(tmp_path_factory.mktemp("real"))
    yield one
    one.stop()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from skimage.data import astronaut

    return write_clip(tmp_path_factory.mktemp("clip") / "a.mp4", frames_of(astronaut(), 50, (320, 240)), tone_s=2.0)


@pytest.fixture(scope="module")
def judged(real, clip):
    """The row of the clip, judged."""
    _, told = real.upload(clip.read_bytes(), "talk & <b>more</b>.mp4")
    wait_until(lambda: real.row(told["id"])["player"] == "file")
    return real.row(told["id"])


def test_the_probability_is_the_one_that_predict_gives(judged, clip):
    verdict = deepcue.predict(clip)
    assert judged["probability"] == verdict.probability
    assert (judged["verdict"], judged["status"], judged["n_faces"]) == (verdict.verdict, verdict.status, 1)


def test_the_page_has_a_timeline_a_player_and_nothing_inline(real, judged):
    page = real.ask("GET", f"/clips/{judged['id']}")[2].decode()
    assert 'id="player"' in page
    assert 'class="plot"' in page
    assert re.search(r"<dt>Made</dt><dd>[0-9-]+ [0-9:]+ UTC", page)
    assert "<b>more</b>" not in page
    assert " style=" not in page
    assert "<style" not in page
    scripts = re.findall("<script([^>]*)>", page)
    assert all("src=" in one or 'type="application/json"' in one for one in scripts)
    for asset in re.findall('(?:src|href)="(/static/[^"]*)"', page):
        assert real.ask("GET", asset)[0] == 200


def test_the_page_to_keep_needs_no_server(real, judged):
    page = real.ask("GET", f"/clips/{judged['id']}/report")[2].decode()
    assert 'class="plot"' in page
    assert "/static/" not in page
    assert "/clips/" not in page


def test_the_video_is_the_clip(real, judged, clip):
    assert real.ask("GET", f"/clips/{judged['id']}/video")[2] == clip.read_bytes()


def test_a_text_file_named_mp4_is_understood(real):
    _, told = real.upload(b"no video, only words", "text.mp4")
    wait_until(lambda: real.row(told["id"])["state"] == "done")
    row = real.row(told["id"])
    assert (row["status"], row["verdict"], row["probability"]) == ("unreadable", "nothing measured", None)
    assert "no video or audio that FFmpeg can open" in row["error"]
    page = real.ask("GET", f"/clips/{told['id']}")[2].decode()
    assert "Nothing could be measured" in page
    assert 'id="player"' not in page


def test_audio_file_is_scored_and_has_a_page_without_a_player(real, tmp_path):
    file = write_wave(tmp_path / "a.wav", speech(6))
    _, told = real.upload(file.read_bytes(), "a.wav", Content_Type="audio/wav")
    wait_until(lambda: real.row(told["id"])["state"] == "done")
    row, verdict = real.row(told["id"]), deepcue.predict(file)
    assert (row["status"], row["player"], row["probability"]) == ("no_face", "none", verdict.probability)
    page = real.ask("GET", f"/clips/{told['id']}")[2].decode()
    assert NOTE_AUDIO_ONLY.split(":")[0] in page
    assert 'id="player"' not in page


def test_a_small_face_is_warned_of_on_the_page_as_by_predict(real, tmp_path):
    from skimage.data import astronaut

    file = write_clip(tmp_path / "small.mp4", frames_of(astronaut(), 50, (200, 200)))
    (note,) = [note for note in deepcue.predict(file).notes if note.startswith("The face is only about")]
    _, told = real.upload(file.read_bytes(), "small.mp4")
    wait_until(lambda: real.row(told["id"])["state"] == "done")
    assert note.split(".")[0] in real.ask("GET", f"/clips/{told['id']}")[2].decode()


def test_a_clip_that_browsers_can_not_play_gets_a_copy(real, tmp_path):
    from skimage.data import astronaut

    file = write_clip(tmp_path / "a.mkv", frames_of(astronaut(), 25, (320, 240)), codec="ffv1")
    _, told = real.upload(file.read_bytes(), "a.mkv")
    wait_until(lambda: real.row(told["id"])["player"] == "preview")
    _, headers, body = real.ask("GET", f"/clips/{told['id']}/video")
    assert headers["Content-Type"] == "video/mp4"
    assert body[4:8] == b"ftyp"


def test_a_killed_process_costs_one_clip_which_can_be_tried_again(tmp_path):
    faceless = write_clip(tmp_path / "a.mp4", frames_of(None, 25, (320, 240)))  # for which no network is loaded
    one = started(tmp_path / "work")
    try:
        before = set(psutil.Process().children())
        _, told = one.upload(faceless.read_bytes(), "killed.mp4")
        wait_until(lambda: set(psutil.Process().children()) - before)
        for child in set(psutil.Process().children()) - before:
            child.kill()
        wait_until(lambda: one.row(told["id"])["state"] == "done")
        row = one.row(told["id"])
        assert row["status"] == "crashed"
        assert "does not start" in row["error"]
        assert one.ask("POST", f"/api/clips/{told['id']}/again")[0] == 204
        wait_until(lambda: one.row(told["id"])["state"] == "done")
        assert one.row(told["id"])["status"] == "no_face"
    finally:
        one.stop()
    wait_until(lambda: not set(psutil.Process().children()) - before)


def test_pages_are_not_written_past_the_limit(tmp_path):
    """Non-regression test: two clips and --max-disk 1M ended in 2.4 MB. Of audio the page is large enough."""
    clip = write_wave(tmp_path / "a.wav", speech(6))
    most = clip.stat().st_size + 10_000
    one = started(tmp_path / "work", max_disk=most)
    try:
        _, told = one.upload(clip.read_bytes(), "a.wav")
        wait_until(lambda: one.row(told["id"])["state"] == "done")
        row = one.row(told["id"])
        assert row["probability"] is not None
        assert "its page could not be made: no room" in row["error"]
        assert one.server.parts.work.used <= most
    finally:
        one.stop()


def test_exports_name_every_clip_as_it_was_called(real, judged):
    clips = json.loads(real.ask("GET", "/clips.json")[2])["clips"]
    (one,) = [clip for clip in clips if clip["name"] == judged["name"]]
    assert one["probability"] == judged["probability"]
