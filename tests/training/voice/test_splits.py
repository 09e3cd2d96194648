"""What a fold leaves out: no person, page or system on both sides, and every voice scored once."""

import numpy as np
import pytest

from training.voice.data import Voice, systems
from training.voice.splits import N_PEOPLE_FOLDS, by_pages, by_people

AUDIO = np.ones(10, np.float32)


@pytest.fixture
def voices():
    """Twelve people; some are synthesised, too: by two systems of one page, one of a second, and one of both."""
    found = [Voice(f"real{number}", "", f"p{number}", AUDIO) for number in range(12)]
    found += [Voice(f"a{number}", "AlphaTalk", f"p{number}", AUDIO, "page one") for number in range(4)]
    found += [Voice(f"b{number}", "BetaDub", f"p{number}", AUDIO, "page one") for number in range(2)]
    found += [Voice(f"c{number}", "audio_gammavoice", f"p{number}", AUDIO) for number in range(3, 7)]
    return [*found, Voice("d", "Gamma-Voice", "p8", AUDIO, "page one"), Voice("e", "delta", "p9", AUDIO)]


@pytest.mark.parametrize("split", [by_pages, by_people])
def test_a_fold_shares_no_group_with_what_it_was_trained_on_and_judges_each_voice_once(voices, split):
    folds = split(voices, 0)
    assert np.sum([fold.scored for fold in folds], axis=0).tolist() == [1] * len(voices)
    for fold in folds:
        scored, trained = ([voice for voice, is_in in zip(voices, mask, strict=True) if is_in]
                           for mask in (fold.scored, fold.trained))  # fmt: skip
        assert not {voice.group for voice in scored} & {voice.group for voice in trained}
        assert {voice.synthetic for voice in trained} == {True, False}


def test_a_page_goes_with_its_systems_whatever_they_are_called_elsewhere(voices):
    folds = by_pages(voices, 0)
    assert [fold.name for fold in folds] == ["audio", "delta", "page one"]
    system, page = systems(voices), np.array([voice.page for voice in voices])
    for fold in folds:
        scored = {voice.page for voice, is_scored in zip(voices, fold.scored, strict=True) if is_scored} - {""}
        assert scored == {fold.name}
        assert not set(system[fold.trained].tolist()) & set(system[page == fold.name].tolist())
        assert fold.name not in page[fold.trained]
    bona_fide = np.array([not voice.synthetic for voice in voices])
    assert [int((fold.scored & bona_fide).sum()) for fold in folds] == [4, 4, 4]


def test_systems_are_one_when_a_name_ends_in_the_other(voices):
    named = dict(zip([voice.name for voice in voices], systems(voices).tolist(), strict=True))
    assert named["c3"] == named["d"] == "gammavoice"
    assert named["a0"] == "alphatalk"
    assert named["real0"] == ""
    short = [Voice(name, name, "g", AUDIO) for name in ("a", "lips_a", "text_a")]
    assert len(set(systems(short).tolist())) == 3  # one letter says nothing


def test_a_name_without_latin_letters_is_a_system_too():
    names = ("語音合成", "音声変換 2", "---")
    made = [Voice(name, name, "g", AUDIO) for name in names]
    assert systems([*made, Voice("real", "", "g", AUDIO)]).tolist() == ["語音合成", "音声変換2", "---", ""]


def test_people_are_dealt_evenly_and_the_seed_changes_who_is_where(voices):
    folds = by_people(voices, 0)
    sizes = [int(fold.scored.sum()) for fold in folds]
    assert len(sizes) == N_PEOPLE_FOLDS
    assert max(sizes) - min(sizes) <= 3
    other = by_people(voices, 1)
    assert any((one.scored != two.scored).any() for one, two in zip(folds, other, strict=True))
    again = by_people(voices, 0)
    assert all((one.scored == two.scored).all() for one, two in zip(folds, again, strict=True))
