import numpy as np
import pytest

from forge.clips.swap import mouth_gap
from forge.demo import portrait
from forge.demo.animate import FaceMotion, Puppet, Scene, blinks, render, sample_motion
from forge.speech_synthesis import Speaker, speak


def pose(n=1, **changes):
    zero = np.zeros(n)
    still = dict(opening=zero, width=zero, lids=zero, shift=np.zeros((n, 2)), yaw=zero, nod=zero, roll=zero)
    return FaceMotion(**{**still, "zoom": zero + 1, "light": zero + 1, **changes})


def scene(size=(320, 240)):
    return Scene(np.full((size[1], size[0], 3), 120, np.uint8), np.ones(3), 0.0)


@pytest.fixture(scope="module", params=portrait.NAMES)
def puppet(request):
    return Puppet(portrait.load(request.param), size=(320, 240), iod=50.0, eyes=(160, 100))


def rendered(puppet, **changes):
    return next(iter(render(puppet, pose(**changes), scene(), np.random.default_rng(0))))


def seen_landmarks(frame):
    import cv2

    from extract.clip.faces import FaceDetector, landmarks

    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return landmarks(grey, FaceDetector().detect(grey, thorough=True)[0].box)


def eye_aspect(points):
    def apart(i, j):
        return np.linalg.norm(points[i] - points[j])

    return (apart(37, 41) + apart(38, 40) + apart(43, 47) + apart(44, 46)) / (2 * (apart(36, 39) + apart(42, 45)))


def test_portrait_mirrored_twice_is_itself():
    person = portrait.load("hopper")
    twice = person.mirrored().mirrored()
    assert np.array_equal(twice.rgba, person.rgba)
    assert np.allclose(twice.landmarks, person.landmarks)
    mirrored = person.mirrored().landmarks
    assert mirrored[36:42, 0].mean() < mirrored[42:48, 0].mean()  # 36-41 stay on the image's left


def test_eyes_are_where_they_were_put(puppet):
    _, points = rendered(puppet)
    eyes = [points[36:42].mean(0), points[42:48].mean(0)]
    assert np.linalg.norm(eyes[0] - eyes[1]) == pytest.approx(50.0, abs=0.5)
    assert np.allclose(points[36:48].mean(0), (160, 100), atol=1.0)


def test_head_moves_as_asked(puppet):
    _, rest = rendered(puppet)
    _, moved = rendered(puppet, shift=np.array([[0.1, 0.0]]))
    assert np.allclose((moved - rest)[27:36], (5.0, 0.0), atol=0.7)


def test_landmark_predictor_sees_the_mouth_open(puppet):
    shut, wide = (rendered(puppet, opening=np.array([x])) for x in (0.0, 1.0))
    known = mouth_gap(wide[1][None]) - mouth_gap(shut[1][None])
    seen = mouth_gap(seen_landmarks(wide[0])[None]) - mouth_gap(seen_landmarks(shut[0])[None])
    assert known > 0.2
    assert seen > 0.12


def test_landmark_predictor_sees_the_eyes_shut(puppet):
    opened, shut = (seen_landmarks(rendered(puppet, lids=np.array([x]))[0]) for x in (0.0, 1.0))
    assert eye_aspect(shut) < 0.65 * eye_aspect(opened)


def test_a_still_puppet_without_noise_stands_still(puppet):
    frames = [frame for frame, _ in render(puppet, pose(3), scene(), np.random.default_rng(0))]
    assert np.array_equal(frames[0], frames[2])


def test_blinks_come_at_the_natural_rate():
    lids = blinks(np.arange(0, 1200, 1 / 30), np.random.default_rng(0))
    count = int((np.diff((lids > 0.5).astype(int)) == 1).sum())
    assert 13 <= count / 20 <= 21  # a minute
    assert 0.05 < (lids > 0.1).mean() < 0.15


def test_mouth_follows_the_speech_by_a_few_hundredths():
    rng = np.random.default_rng(0)
    speech = speak(4.0, Speaker.sample(rng), rng)
    motion = sample_motion(speech, fps=25.0, rng=rng)
    assert motion.opening.size == 100
    spoken = np.interp(np.arange(100) / 25, np.arange(speech.opening.size) / 100, speech.opening)
    assert np.corrcoef(spoken, motion.opening)[0, 1] > 0.6
