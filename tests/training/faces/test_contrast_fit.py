"""Axes of face_contrast: planted directions, what is refused, and the command."""

import numpy as np
import pytest

from deepcue.cli import fit_contrast
from deepcue.cli.main import main as deepcue
from features.errors import DatasetError, ModelError
from features.networks.region_contrast import DIMENSIONS, read_contrast
from training.faces import contrast_fit

torch = pytest.importorskip("torch")


def test_axes_hold_what_was_planted(rng):
    planted, _ = np.linalg.qr(rng.standard_normal((60, DIMENSIONS)))
    contrasts = 5.0 + rng.standard_normal((400, DIMENSIONS)) @ planted.T + 1e-3 * rng.standard_normal((400, 60))
    axes, explained = contrast_fit.fit_axes(contrasts)
    assert explained > 0.99
    np.testing.assert_allclose(axes.axes.T @ axes.axes, np.eye(DIMENSIONS), atol=1e-9)
    found = axes.project(contrasts)
    assert abs(np.median(found, axis=0)).max() < 1.0
    assert (np.diff(found.var(axis=0)) < 1e-9).all()


def test_a_contrast_that_never_varies_stays_out(rng):
    contrasts = rng.standard_normal((200, 40))
    contrasts[:, 3] = 7.0
    axes, _ = contrast_fit.fit_axes(contrasts)
    assert abs(axes.axes[3]).max() < 1e-9
    assert np.isfinite(axes.project(contrasts)).all()


def test_too_few_clips_are_refused(rng):
    with pytest.raises(DatasetError, match="31 clips to fit 32 axes on"):
        contrast_fit.fit_axes(rng.standard_normal((31, 90)))


@pytest.fixture
def base(tmp_path):
    """Weights of a small residual network of random weights, and of one that sees colours."""
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, save_weights

    torch.manual_seed(1)
    for name in ("residual", "rgb"):
        metadata = WeightsMetadata(input_representation=name)
        save_weights(LiteNet(), tmp_path / f"{name}.safetensors", metadata)
    return tmp_path


class Faces:
    """A pool of random crops, two of every clip."""

    def __init__(self, n_clips):
        self.key = np.repeat([f"c{number}" for number in range(n_clips)], 2)

    def __len__(self):
        return len(self.key)

    def face(self, row, *, with_landmarks):
        image = np.random.default_rng(row).integers(0, 256, (64, 64, 3), np.uint8)
        return image, np.array([12, 12, 52, 52], np.float32), None


def test_the_command_writes_what_the_family_reads(base, monkeypatch, capsys):
    class FaceData:
        labelled = Faces(DIMENSIONS + 4)

    monkeypatch.setattr(fit_contrast, "FaceData", lambda settings, progress: FaceData)
    words = ["fit-contrast", "--stills", "s", "--faces", "f", "--clips", "c", "--cache", str(base)]
    words += ["--base", str(base / "residual.safetensors"), "--out", str(base / "own")]
    assert deepcue(words) == 0
    assert "36 clips and images; " in capsys.readouterr().out
    crop, _, _ = FaceData.labelled.face(0, with_landmarks=False)
    assert read_contrast(base / "own" / "face_contrast.safetensors").components([crop]).shape == (1, DIMENSIONS)


def test_a_network_that_sees_colours_is_refused(base):
    with pytest.raises(ModelError, match="sees rgb, not residuals"):
        contrast_fit.fit_contrast(Faces(4), base / "rgb.safetensors", base)
