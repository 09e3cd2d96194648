"""Axes and prototypes of development crops: known answers, what is held out, and the command."""

import numpy as np
import pytest

from deepcue.cli import fit_projection
from deepcue.cli.main import main as deepcue
from features.errors import DatasetError, ModelError
from features.networks import projection
from features.networks.projection import DIMENSIONS, Projection
from training import folds as clip_folds
from training.faces import projection_fit, projections
from training.faces.pools import Pool

torch = pytest.importorskip("torch")


@pytest.fixture
def cloud(rng):
    """[300, 60] correlated rows off the origin, with a falling variance along 60 random axes; and the axes."""
    axes, _ = np.linalg.qr(rng.standard_normal((60, 60)))
    return 5.0 + (rng.standard_normal((300, 60)) * 0.9 ** np.arange(60)) @ axes.T, axes


def test_principal_axes_are_those_that_were_planted(cloud):
    E, planted = cloud
    axes = projection_fit.principal_axes(E, 4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-12)
    variance = ((E - E.mean(axis=0)) @ axes).var(axis=0)
    assert (np.diff(variance) < 0).all()
    assert (axes[np.abs(axes).argmax(axis=0), np.arange(4)] > 0).all()
    subspace = planted[:, :12]
    assert (np.linalg.norm(subspace.T @ axes, axis=0) > 0.9).all()


def test_a_turned_network_is_turned_back(cloud, rng):
    E, _ = cloud
    axes = projection_fit.principal_axes(E, 8)
    turn, _ = np.linalg.qr(rng.standard_normal((60, 60)))
    found = projection_fit.aligned_axes(E @ turn + 3.0, (E - E.mean(axis=0)) @ axes)
    np.testing.assert_allclose(found, turn.T @ axes, atol=1e-6)


def test_alignment_is_orthonormal_and_better_than_that_of_a_square_problem(cloud, rng):
    E, _ = cloud
    noisy = E @ np.linalg.qr(rng.standard_normal((60, 60)))[0] + 0.3 * rng.standard_normal(E.shape)
    T = (E - E.mean(axis=0)) @ projection_fit.principal_axes(E, 8) * 0.7
    centred = noisy - noisy.mean(axis=0)
    found = projection_fit.aligned_axes(noisy, T)
    np.testing.assert_allclose(found.T @ found, np.eye(8), atol=1e-9)

    def loss(R):
        return float(np.sum((centred @ R - T) ** 2))

    square = projection_fit._orthonormal(centred.T @ T)
    assert loss(found) < 0.999 * loss(square)
    for _ in range(20):  # a minimum: a small turn in any direction is no better
        turned = projection_fit._orthonormal(found + 1e-3 * rng.standard_normal(found.shape))
        assert loss(found) <= loss(turned)


def test_prototypes_are_of_real_crops_alone_and_agree_with_a_reference(rng):
    axes, _ = np.linalg.qr(rng.standard_normal((80, DIMENSIONS)))
    spots = 20.0 * rng.standard_normal((projection_fit.N_PROTOTYPES, DIMENSIONS))
    real = np.arange(600) < 400
    Z = np.where(real[:, None], spots[np.arange(600) % len(spots)], 500.0) + 0.01 * rng.standard_normal(
        (600, DIMENSIONS)
    )
    E = Z @ axes.T
    one = projection_fit.fit_projection(E, real)
    planted = one.project(spots @ axes.T)
    assert one.distance(planted).max() < 0.1
    assert one.prototypes.shape == spots.shape
    turn, _ = np.linalg.qr(rng.standard_normal((80, 80)))
    other = projection_fit.fit_projection(E @ turn - 7.0, real, reference=(E, one))
    np.testing.assert_allclose(other.project(E @ turn - 7.0), one.project(E), atol=1e-3)
    np.testing.assert_allclose(other.prototypes, one.prototypes, atol=1e-2)  # in the same order, too
    with pytest.raises(DatasetError, match="no REAL face"):
        projection_fit.fit_projection(E, np.zeros(600, bool))


class Crops:
    """What the fit needs of a training's data: pools whose stills of one group, and clips of one fold, are held out."""

    def __init__(self, stills, real_faces, labelled):
        self.stills, self.real_faces, self.labelled = stills, real_faces, labelled
        self.holdout_groups = frozenset({"4"})
        self.fold_of = {key: int(key[1:]) % 2 for key in labelled.key}

    def held_out(self, fold):
        return frozenset(key for key, one in self.fold_of.items() if one == fold)

    def people_held_out(self, fold):
        return frozenset({"p0"} if fold == 0 else ())


@pytest.fixture
def data(pools, index_table, clip_rows):
    stills = pools[0]
    rows = [(f"p{i}", False, f"p{i}", "lfw", "") for i in range(20)]
    return Crops(stills, Pool(index_table(rows)), Pool(index_table(clip_rows)))


@pytest.fixture
def folder(tmp_path):
    """Networks of both kinds for shipping and for two folds, of 64 px."""
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, save_weights

    torch.manual_seed(0)
    state = LiteNet().state_dict()
    names = [*projection.NETWORKS, *(f"{prefix}fold{fold}" for prefix in ("", "residual_") for fold in range(2))]
    for number, name in enumerate(names):
        net = LiteNet()
        net.load_state_dict(state)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.01 * number * torch.randn_like(parameter) * parameter.std(correction=0))
        save_weights(net, tmp_path / f"{name}.safetensors", WeightsMetadata(input_size=64))
    return tmp_path


def write_folds(folder, fold_of):
    assignments = {name: clip_folds.FoldAssignment(fold) for name, fold in fold_of.items()}
    clip_folds.write(folder / "clip_folds.csv", assignments)


def test_held_out_stills_are_in_no_sample_and_small_pools_whole(data):
    sample = projections.development_sample(data, 90)
    groups = data.stills.group[sample.rows[0]]
    assert len(groups) == 30
    assert "4" not in groups
    assert [len(rows) for rows in sample.rows] == [30, 20, 24]
    assert len(sample.of_rows("key")) == 74
    assert (sample.rows[0] != projections.development_sample(data, 90, seed=1).rows[0]).any()
    with pytest.raises(DatasetError, match="give at least 64"):
        projections.development_sample(data, 9)


def test_fold_networks_are_aligned_without_what_their_fold_held_out(data, folder, monkeypatch):
    write_folds(folder, data.fold_of)
    seen = []
    fit = projections.fit_projection
    monkeypatch.setattr(
        projections,
        "fit_projection",
        lambda E, real, **more: seen.append((len(E), int(real.sum()))) or fit(E, real, **more),
    )
    fits = projections.fit_projections(data, folder, fold_weights=folder, n_crops=120)
    assert [one.file.name for one in fits] == [
        "cnn_embedding.safetensors", "embedding_fold0.safetensors", "embedding_fold1.safetensors",
    ]  # fmt: skip
    n = 32 + 20 + 24
    assert [one.n_crops for one in fits] == [n, n - 13, n - 12]  # half of the 8 clips of 3 frames, and a face
    sample = projections.development_sample(data, 120)
    fold_of = data.fold_of | {"p0": 0}
    real, fold = ~sample.of_rows("fake"), [fold_of.get(key, -1) for key in sample.of_rows("key")]
    n_real = [int(real.sum()), *(int(real[np.array(fold) != number].sum()) for number in range(2))]
    assert seen == [(one.n_crops, count) for one, count in zip(fits, n_real, strict=True) for _ in range(2)]
    assert all(r > 0.9 for one in fits[1:] for r in one.agreement.values())
    metadata, _ = projection.read_projections(fits[1].file)
    assert metadata.networks == {
        "forensic_cnn": projections.weights_digest(folder / "fold0.safetensors"),
        "forensic_residual": projections.weights_digest(folder / "residual_fold0.safetensors"),
    }
    planes = projection.read_projections(fits[0].file)[1]
    (again,) = projections.fit_projections(data, folder, n_crops=120)
    same = projection.read_projections(again.file)[1]
    assert (planes["forensic_cnn"].axes == same["forensic_cnn"].axes).all()
    assert (planes["forensic_cnn"].prototypes == same["forensic_cnn"].prototypes).all()


def test_a_phase_of_a_run_agrees_with_the_reference(data, folder, tmp_path):
    projections.fit_projections(data, folder, n_crops=120)
    run = tmp_path / "run"
    run.mkdir()
    (folder / "fold1.safetensors").rename(run / "labels.safetensors")
    (fit,) = projections.fit_projections(data, run, phase="labels", reference=folder, n_crops=120)
    assert fit.file == run / "embedding_labels.safetensors"
    assert fit.agreement.keys() == {"forensic_cnn"}
    assert fit.agreement["forensic_cnn"] > 0.9


def test_the_command_takes_the_data_of_the_training(data, folder, monkeypatch, capsys):
    given = []
    monkeypatch.setattr(fit_projection, "FaceData", lambda settings, progress: given.append(settings) or data)
    words = ["--stills", "s", "--faces", "f", "--clips", "c", "--crops", "d", "--cache", str(folder)]
    words += ["--leave-out", "people", "--hold-out", "1/2", "--weights", str(folder), "--n-crops", "90"]
    assert deepcue(["fit-projection", *words]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{folder / 'cnn_embedding.safetensors'}: 74 crops; forensic_cnn ")
    (settings,) = given
    assert (settings.leave_out, settings.hold_out, settings.out, str(settings.crops)) == ("people", (1, 2), folder, "d")
    assert deepcue(["fit-projection", *words, "--phase", "labels"]) == 2
    assert "holds no labels.safetensors" in capsys.readouterr().err


def test_what_is_missing_or_does_not_belong_is_said(data, folder, tmp_path):
    with pytest.raises(ModelError, match=r"holds no forensic_cnn.safetensors and no"):
        projections.fit_projections(data, tmp_path / "nowhere")
    write_folds(folder, data.fold_of | {"c0": 1})
    with pytest.raises(DatasetError, match="other clips, crops or --leave-out"):
        projections.fit_projections(data, folder, fold_weights=folder)
    write_folds(folder, data.fold_of)
    (folder / "residual_fold1.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks residual_fold1"):
        projections.fit_projections(data, folder, fold_weights=folder)
    plane = Projection(np.zeros(1280), np.eye(1280, DIMENSIONS), np.zeros((1, DIMENSIONS)))
    stale = {"forensic_cnn": folder / "fold0.safetensors", "forensic_residual": folder / "fold0.safetensors"}
    projection.save_projections(dict.fromkeys(projection.NETWORKS, plane), stale, folder / "cnn_embedding.safetensors")
    with pytest.raises(ModelError, match="was not fitted for its forensic_cnn"):
        projections.fit_projections(data, folder, reference=folder)
