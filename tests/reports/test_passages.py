"""Passages whose faces stand out: what counts as one, and what does not."""

import numpy as np
import pytest

from features.evidence import ClipEvidence, JudgedFace, Person
from reports.passages import passages, passages_note

BOX = (0.4, 0.2, 0.6, 0.5)


def clip_of(*scores, step_s=0.5):
    """A clip of people with these scores; both networks agree but for half a unit."""
    people = []
    for of_person in scores:
        faces = [
            JudgedFace(0.25 + step_s * n, BOX, b"", {"forensic_cnn": z + 0.25, "forensic_residual": z - 0.25})
            for n, z in enumerate(of_person)
            if np.isfinite(z)
        ]
        people.append(Person(np.empty(0), np.empty((0, 4), np.float32), tuple(faces), {}))
    return ClipEvidence("a.mp4", 10.0, 640, 360, tuple(people), len(people), {}, ())


def test_three_forged_seconds_of_twenty():
    scores = np.full(40, -1.0)
    scores[16:22] = 1.5
    (passage,) = passages(clip_of(scores))
    assert passage.as_dict() == pytest.approx(
        {"person": 1, "start_s": 8.25, "end_s": 10.75, "log_odds": 1.5, "log_odds_elsewhere": -1.0}
    )
    assert passages_note(clip_of(scores)).startswith(
        "The face networks score one passage much more like a fake than the rest: from 8.2 to 10.8 s (+1.5); "
        "elsewhere −1.0 (mean log-odds"
    )


@pytest.mark.parametrize(
    "scores",
    [
        [-1.0] * 10,
        [1.5] * 10,  # the number itself says so
        [-1.0] * 5 + [4.0] + [-1.0] * 5,  # one face
        [-1.0] * 5 + [4.0] * 2 + [-1.0] * 5,
        [-0.3] * 5 + [0.6] * 5,  # too little above the rest
        [-1.0] * 2 + [1.5] * 8,  # the rest is too short to compare with
        [np.nan] * 10,
        [],
    ],
)
def test_nothing_stands_out(scores):
    assert passages(clip_of(scores)) == []
    assert passages_note(clip_of(scores)) == ""


def test_an_outlier_does_not_split_a_passage_but_time_without_faces_does():
    dip = [-1.0] * 5 + [1.5, 1.5, -0.5, 1.5, 1.5] + [-1.0] * 5
    assert len(passages(clip_of(dip))) == 1
    away = [-1.0] * 5 + [1.5] * 3 + [np.nan] * 6 + [2.0] * 3 + [-1.0] * 5
    assert [(one.start_s, one.end_s) for one in passages(clip_of(away))] == [(7.25, 8.25), (2.75, 3.75)]
    assert "2 passages much more like a fake than the rest: from 7.2 to 8.2 s (+2.0) and from" in passages_note(
        clip_of(away)
    )


def test_a_person_stands_out_against_the_others():
    genuine, fake = [-1.0] * 12, [1.0] * 12
    (passage,) = passages(clip_of(genuine, fake))
    assert (passage.person, passage.log_odds, passage.log_odds_elsewhere) == pytest.approx((2, 1.0, -1.0))
    assert "Person 2 from 0.2 to 5.8 s (+1.0)" in passages_note(clip_of(genuine, fake))


def test_of_many_passages_the_highest_are_named():
    scores = np.tile([-1.0] * 4 + [1.5] * 4, 5)
    note = passages_note(clip_of(scores))
    assert note.startswith("The face networks score 5 passages")
    assert note.count("(+1.5)") == 3
    assert "and 2 more; elsewhere" in note
