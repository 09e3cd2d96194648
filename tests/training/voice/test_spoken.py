"""Speech from text as a table of voices: who is left out, what is in a row, and that a real synthesiser speaks."""

import json
import sys

import numpy as np
import pytest

from deepcue.cli import speak
from deepcue.cli.main import main as deepcue
from features.errors import InputError, ModelError
from training.voice import spoken, synthesisers
from training.voice.data import systems, voices_of_table
from training.voice.synthesisers import SYNTHESISERS, Synthesiser

RATE_HZ = 22050


def hum(text, voice, rng):
    """A tone as long as the text, in a pitch that is drawn; twice full scale."""
    t = np.arange(RATE_HZ * len(text) // 100) / RATE_HZ
    return (2 * np.sin(2 * np.pi * rng.uniform(100, 300) * t)).astype(np.float32), RATE_HZ


def missing():
    raise ModelError("the program hummer is missing")


@pytest.fixture
def hummers(monkeypatch):
    made = {
        "hum": Synthesiser("hum", {"low": "ann", "high": "bob"}, lambda: hum),
        "buzz": Synthesiser("buzz", {"one": "ann"}, lambda: hum),
        "none": Synthesiser("none", {"one": "cy"}, missing),
    }
    monkeypatch.setattr(spoken, "SYNTHESISERS", made)


def test_no_text_is_said_twice_and_every_sentence_is():
    texts = spoken.texts(380)
    assert len(set(texts)) == 380
    assert all(any(text.startswith(sentence) for text in spoken.texts(20)) for sentence in spoken.SENTENCES)
    assert not any(text.count(sentence) == 2 for text in texts for sentence in spoken.SENTENCES)


def test_the_table_is_one_of_voices(hummers, tmp_path):
    counts = spoken.write_spoken(tmp_path / "t.parquet", ["hum", "buzz", "none"], n=4, seed=0)
    assert counts == {"hum": 4, "buzz": 4, "none": 0}
    voices = voices_of_table(tmp_path / "t.parquet")
    assert all(voice.synthetic and not voice.in_manifest for voice in voices)
    assert len({voice.name for voice in voices}) == 8
    assert {voice.page for voice in voices} == {"tts-hum", "tts-buzz"}
    assert len(set(systems(voices).tolist())) == 2
    seconds = [len(text) // 100 for text in spoken.texts(4)]
    assert [round(len(voice.audio) / 16000) for voice in voices[:4]] == pytest.approx(seconds, abs=1)
    assert all(0.9 < np.abs(voice.audio).max() <= 1 for voice in voices)


def test_two_systems_with_the_voice_of_one_speaker_share_the_group(hummers, tmp_path):
    """A fold that judges one of them may not be trained on the other."""
    spoken.write_spoken(tmp_path / "t.parquet", ["hum", "buzz"], n=2, seed=0)
    groups = [voice.group for voice in voices_of_table(tmp_path / "t.parquet")]
    assert groups[0] == groups[2] == groups[3] != groups[1]
    speakers = {one.name: set(one.voices.values()) for one in SYNTHESISERS.values()}
    assert speakers["hts"] < speakers["flite"]


def test_the_same_seed_gives_the_same_audio_and_another_seed_another(hummers, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        spoken.write_spoken(tmp_path / f"{name}.parquet", ["hum"], n=2, seed=seed)
    a, b, c = (voices_of_table(tmp_path / f"{name}.parquet") for name in "abc")
    assert all(np.array_equal(one.audio, other.audio) for one, other in zip(a, b, strict=True))
    assert not any(np.array_equal(one.audio, other.audio) for one, other in zip(a, c, strict=True))


def test_what_is_not_installed_is_left_out_with_a_warning(hummers, tmp_path, caplog):
    spoken.write_spoken(tmp_path / "t.parquet", ["none", "hum"], n=1, seed=0)
    assert "none is left out: the program hummer is missing" in caplog.text
    with pytest.raises(InputError, match="none of the synthesisers is installed"):
        spoken.write_spoken(tmp_path / "u.parquet", ["none"], n=1, seed=0)
    assert not (tmp_path / "u.parquet").exists()


@pytest.mark.parametrize(
    ("systems", "n", "message"), [(["hun"], 1, "'hun'; known are hum"), (["hum"], 381, "1 to 380")]
)
def test_what_can_not_be_said_is_refused(hummers, tmp_path, systems, n, message):
    with pytest.raises(InputError, match=message):
        spoken.write_spoken(tmp_path / "t.parquet", systems, n=n, seed=0)


def test_a_program_is_given_the_text_and_the_voice(tmp_path, monkeypatch):
    program = tmp_path / "flite"
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys, numpy, soundfile\n"
        "voice, out = sys.argv[2], sys.argv[6]\n"
        "soundfile.write(out, numpy.full((len(sys.stdin.read()), 2), len(voice) / 10), 8000)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    said = ("four", "slt", np.random.default_rng(0))
    audio, rate = synthesisers.load_flite()(*said)
    assert (rate, audio.tolist()) == (8000, pytest.approx([0.3] * 4, abs=1e-3))
    with pytest.raises(ModelError, match=r"flite can't speak as slt \(Index.*install it"):
        synthesisers._program("flite", "flite", lambda voice, file: ("-voice", voice))(*said)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ModelError, match="flite is missing; install it"):
        synthesisers.load_flite()


def test_a_program_without_the_voice_is_left_out_and_the_others_are_kept(hummers, tmp_path, monkeypatch, caplog):
    """Non-regression test: Festival ends with 0 then and writes nothing; the utterances of all systems were lost."""
    (tmp_path / "text2wave").write_text("#!/bin/sh\necho 'SIOD ERROR: unbound variable' >&2\n")
    (tmp_path / "text2wave").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setitem(spoken.SYNTHESISERS, "hts", SYNTHESISERS["hts"])
    out = tmp_path / "new" / "t.parquet"
    out.parent.mkdir()
    assert spoken.write_spoken(out, ["hum", "hts"], n=1, seed=0) == {"hum": 1, "hts": 0}
    assert "SIOD ERROR: unbound variable" in caplog.text


def test_the_command_makes_the_folder_of_its_table(hummers, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speak, "write_spoken", lambda out, *_, **__: {"hum": int(out.parent.is_dir())})
    assert deepcue(["speak", "--out", str(tmp_path / "new" / "t.parquet")]) == 0
    assert json.loads(capsys.readouterr().out) == {"sounds": {"hum": 1}}


def test_a_network_that_is_not_installed_says_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ModelError, match="`make voice` installs it"):
        synthesisers.Spelling()
    monkeypatch.setattr(synthesisers, "PIPER", ("no-such-package", "x.onnx"))
    with pytest.raises(ModelError, match="no-such-package is missing; `make voice`"):
        synthesisers.load_piper()


@pytest.mark.parametrize("name", sorted(SYNTHESISERS))
def test_one_that_is_installed_speaks(name):
    try:
        speak = SYNTHESISERS[name].load()
    except ModelError as error:
        pytest.skip(str(error))
    for voice in SYNTHESISERS[name].voices:
        audio, rate = speak("You can find the instructions on the second page.", voice, np.random.default_rng(0))
        assert 1.5 < len(audio) / rate < 6
        assert 0.02 < np.sqrt(np.mean(audio**2)) < 0.5
