import itertools

import numpy as np
import pytest
import torch

from features.errors import ModelError
from forge import renderer, renderer_training
from forge.renderer import DESIGNS, Autoencoder, Design, load, rerender, save

SMALL = Design(2, 8, 16, "nearest", 0.05)


def smooth_face(rng):
    low = rng.uniform(0, 255, (6, 6, 3))
    return np.kron(low, np.ones((26, 26, 1))).astype(np.uint8)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Autoencoder(SMALL).eval()


@pytest.mark.parametrize("design", [*DESIGNS, Design(3, 8, 8, "bilinear", 0.0)])
def test_a_reconstruction_has_the_shape_of_the_picture(design):
    side = 2**design.halvings
    with torch.inference_mode():
        assert Autoencoder(design)(torch.zeros(2, 3, 4 * side, 6 * side)).shape == (2, 3, 4 * side, 6 * side)


def test_what_was_saved_draws_alike(net, tmp_path):
    save(net, tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert again.design == SMALL
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(net(x), again(x), atol=5e-3)  # half precision


def test_another_file_is_refused(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"net\.safetensors"):
        load(tmp_path / "net.safetensors")


def test_rerendered_pictures_differ_in_detail_and_keep_their_coarse_colours(net, rng):
    image = smooth_face(rng)
    out = rerender(image, None, [net], rng)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert np.abs(out.astype(int) - image).mean() > 1
    coarse = [one.reshape(2, 78, 2, 78, 3).mean(axis=(1, 3)) for one in (out, image)]
    assert np.abs(coarse[0] - coarse[1]).max() < 25


def test_the_same_seed_draws_the_same(net, rng):
    image = smooth_face(rng)
    first, second = (rerender(image, None, [net], np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_beside_the_face_nothing_changes(net, rng, monkeypatch):
    monkeypatch.setattr(renderer, "P_EVERYWHERE", 0.0)
    image = smooth_face(rng)
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points = (78 + 20 * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)
    out = rerender(image, points, [net], rng)
    np.testing.assert_array_equal(out[:20], image[:20])


def test_training_learns_to_draw_and_files_are_made_once(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(renderer_training, "DESIGNS", (SMALL,))
    monkeypatch.setattr(renderer_training, "CROP_PX", 32)
    monkeypatch.setattr(renderer_training, "BATCH", 4)
    steps = itertools.count()
    monkeypatch.setattr(renderer_training.time, "monotonic", lambda: next(steps))  # a second a step
    faces = [smooth_face(rng) for _ in range(4)]
    (trained,) = renderer_training.cached(tmp_path, lambda r: faces[int(r.integers(4))], 300 / 60)
    x = renderer_training._batch(lambda r: faces[0], rng)
    with torch.inference_mode():
        torch.manual_seed(1)
        assert (trained(x) - x).abs().mean() < 0.6 * (Autoencoder(SMALL)(x) - x).abs().mean()
    renderer_training.cached(tmp_path, lambda r: pytest.fail("trained again"), 1.0)
