"""Contrasts between regions of a crop: planted means and spreads, planted noise, and the file."""

import numpy as np
import pytest

from artifacts import PRETRAINED
from features.errors import ModelError
from features.networks import region_contrast
from features.networks.region_contrast import DIMENSIONS, Axes, ContrastMetadata, FaceContrast, read_contrast
from features.networks.weights import read_arrays, save_arrays

torch = pytest.importorskip("torch")

SHIPPED = PRETRAINED / "face_contrast.safetensors"
SIDE = 160


@pytest.fixture(scope="module")
def shipped():
    return read_contrast(SHIPPED)


@pytest.fixture(scope="module")
def inside():
    """[160, 160] 1 in the centre of the face."""
    return region_contrast.regions(SIDE)[1] > 0


def textured(rng, strength, where=None):
    """A crop of mild texture, with noise of a strength everywhere or within a mask."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image = 120 + 40 * np.sin(rows / 17) * np.cos(columns / 23)
    noise = strength * rng.standard_normal((SIDE, SIDE))
    image = image + rng.standard_normal((SIDE, SIDE)) + (noise if where is None else noise * where)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def test_regions_lie_where_they_are_said_to():
    whole, centre, edge, above = region_contrast.regions(40) > 0
    assert whole.all()
    assert centre[20, 20]
    assert not (centre & edge).any()
    assert not (edge & above).any()
    rows, columns = np.nonzero(above)
    assert rows.max() < 20
    assert columns.min() == 0
    assert columns.max() == 39
    np.testing.assert_array_equal(edge, edge[:, ::-1])
    for cells in (5, 10, 20, 80):  # those of the layers, and fewer
        assert np.isfinite(region_contrast.regions(cells)).all()


def test_contrasts_are_of_the_planted_regions():
    mean, spread = np.zeros((2, 4, 3)), np.ones((2, 4, 3))
    mean[1, 2] = [1.0, 2.0, 3.0]
    spread[1, 3] = np.e
    found = region_contrast.contrasts(mean, spread)
    assert found.shape == (2, 12)
    np.testing.assert_allclose(found[0], 0, atol=1e-12)
    np.testing.assert_allclose(found[1], [-1, -2, -3, 0, 0, 0, 0, 0, 0, -1, -1, -1], atol=3e-3)
    twice = region_contrast.contrasts(2 * mean, 2 * spread)  # a camera that shows twice as much of everything
    np.testing.assert_allclose(twice, found, atol=3e-3)


def test_noise_in_the_centre_alone_is_seen_and_noise_everywhere_far_less(shipped, inside):
    def components(strength, where=None):
        return shipped.components([textured(np.random.default_rng(7), strength, where)])[0]

    plain = components(0.0)
    centre = np.linalg.norm(components(6.0, inside) - plain)
    everywhere = np.linalg.norm(components(6.0) - plain)
    assert centre > 3 * everywhere


def test_a_brighter_image_has_the_same_components(shipped):
    crop = textured(np.random.default_rng(8), 4.0)
    brighter = (crop.astype(int) + 30).astype(np.uint8)
    assert brighter.max() < 255
    np.testing.assert_allclose(*(shipped.components([one]) for one in (crop, brighter)), atol=1e-2)


def test_components_do_not_depend_on_the_other_crops(shipped, rng):
    crops = [textured(rng, strength) for strength in (0.0, 3.0, 9.0)]
    together = shipped.components(crops)
    assert together.shape == (3, DIMENSIONS)
    np.testing.assert_allclose(together[2:], shipped.components(crops[2:]), atol=1e-3)


def test_memory_does_not_grow_with_the_crops(shipped, rng, monkeypatch):
    seen, of_batch = [], region_contrast.LowLayers._of_batch
    monkeypatch.setattr(
        region_contrast.LowLayers, "_of_batch", lambda self, crops: seen.append(len(crops)) or of_batch(self, crops)
    )
    crops = [textured(rng, 1.0)[:40, :40] for _ in range(19)]
    assert len(shipped.components(crops)) == 19
    assert seen == [8, 8, 3]


def test_folded_norms_change_nothing(shipped, rng):
    """Batch norm is folded into the convolutions for speed; the features must be the network's own."""
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, normalised

    _, arrays = read_arrays(SHIPPED, ContrastMetadata)
    net = LiteNet().eval()
    own = {name: torch.from_numpy(one) for name, one in arrays.items() if name.startswith(("stem", "blocks"))}
    net.load_state_dict(own, strict=False)
    crop = textured(rng, 5.0)
    x = normalised(
        torch.from_numpy(crop.transpose(2, 0, 1)[None].copy()), WeightsMetadata(input_representation="residual")
    )
    with torch.inference_mode():
        x = net.stem(x)
        means = []
        for block in net.blocks[: region_contrast.N_BLOCKS]:
            x = block(x)
            means.append(region_contrast._moments(x))
    mean, spread = (np.concatenate(parts, axis=2) for parts in zip(*means, strict=True))
    np.testing.assert_allclose(shipped.layers.contrasts([crop]), region_contrast.contrasts(mean, spread), atol=2e-3)


def test_what_is_no_such_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        FaceContrast(tmp_path / "nowhere.safetensors")
    metadata, arrays = read_arrays(SHIPPED, ContrastMetadata)
    damaged = tmp_path / "face_contrast.safetensors"
    lacking = sorted(name for name in arrays if name.startswith("blocks.2"))[0]
    save_arrays({name: one for name, one in arrays.items() if name != lacking}, damaged, metadata)
    with pytest.raises(ModelError, match="face_contrast"):
        FaceContrast(damaged)
    save_arrays(arrays | {"axes": arrays["axes"][:, :5]}, damaged, metadata)
    with pytest.raises(ModelError, match="5 components, not 32"):
        FaceContrast(damaged)


def test_contrasts_far_out_are_bounded():
    axes = Axes(np.zeros(2), np.ones(2), np.eye(2))
    assert axes.project(np.array([[1e9, -1e9]])).tolist() == [[4.0, -4.0]]
