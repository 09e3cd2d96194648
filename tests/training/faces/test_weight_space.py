"""Weights are averaged and interpolated number by number."""

import pytest

from deepcue.cli.main import main as deepcue
from features.errors import ModelError
from training.faces.weight_space import average_weights, interpolate

torch = pytest.importorskip("torch")


@pytest.fixture
def files(tmp_path):
    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, save_weights

    found = [tmp_path / f"{name}.safetensors" for name in "ab"]
    with torch.random.fork_rng():
        for seed, file in enumerate(found):
            torch.manual_seed(seed)
            save_weights(LiteNet(), file, WeightsMetadata(version=f"1-{seed}"))
    return found


def test_averaged_weights_lie_between_those_of_the_runs(files, tmp_path, capsys):
    from features.networks.efficientnet_lite import read_weights

    out = tmp_path / "mean.safetensors"
    assert deepcue(["average", *map(str, files), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"weights {out}: mean of 2 networks\n"
    first, second, mean = (read_weights(file)[1]["logit.weight"] for file in (*files, out))
    torch.testing.assert_close(mean, (first + second) / 2, atol=1e-3, rtol=1e-3)
    assert deepcue(["average", str(files[0]), str(tmp_path / "none.safetensors"), "--out", str(out)]) == 2


def test_files_with_and_without_scalars_are_averaged(files, tmp_path):
    """Non-regression test: later versions stored the scalars of 0.2.0 as lists of one number, and averages crashed."""
    from features.networks.efficientnet_lite import WeightsMetadata, read_weights
    from features.networks.weights import read_arrays, save_arrays

    metadata, arrays = read_arrays(files[0], WeightsMetadata)
    scalars = {name for name, array in arrays.items() if array.ndim == 0}
    assert scalars, "scalars are stored as such"
    save_arrays(arrays | {name: arrays[name][None] for name in scalars}, files[0], metadata)
    average_weights(files, out := tmp_path / "mean.safetensors")
    assert {value.ndim for name, value in read_weights(out)[1].items() if name in scalars} == {0}


@pytest.mark.parametrize(
    "other", [{"input_representation": "residual"}, {"input_size": 128}, {"margin": 1.5}, {"mean": 0.0}, {"std": 1.0}]
)
def test_networks_that_read_another_input_are_not_averaged(tmp_path, monkeypatch, other):
    """Non-regression test: the mean of an RGB and a residual network was written as an RGB network."""
    from features.networks.efficientnet_lite import WeightsMetadata

    files = {tmp_path / "a": WeightsMetadata(), tmp_path / "b": WeightsMetadata(**other)}
    monkeypatch.setattr("features.networks.efficientnet_lite.read_weights", lambda file: (files[file], {}))
    with pytest.raises(ModelError, match=f"{min(other)} is .* average networks of one kind"):
        average_weights([*files], tmp_path / "mean.safetensors")


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_interpolation_goes_back_by_alpha(files, alpha):
    from features.networks.efficientnet_lite import LiteNet, read_weights

    net = LiteNet()
    (_, first), (_, second) = map(read_weights, files)
    net.load_state_dict(first)
    interpolate(net, files[1], alpha)
    expected = (1 - alpha) * first["logit.weight"] + alpha * second["logit.weight"]
    torch.testing.assert_close(net.state_dict()["logit.weight"], expected)
