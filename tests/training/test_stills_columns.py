"""Columns of face networks for stills, by the network that did not see the people."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from skimage.data import astronaut

from deepcue.cli.main import main as deepcue
from extract.stills import read_stills
from features import table
from features.networks import projection
from training.faces.stills_scores import COLUMNS
from training.stills_columns import of_stills

pytest.importorskip("torch")

ONE = ("--jobs", "1")  # in this process; tests/extract/test_stills.py has it done in others


@pytest.fixture
def stills(tmp_path):
    """Four stills of a public-domain portrait, and a fifth that no run held out."""
    portrait = astronaut()[20:244, 110:334]
    rows = []
    for number in range(5):
        buffer = io.BytesIO()
        Image.fromarray(np.roll(portrait, number, axis=1)).save(buffer, "JPEG", quality=95)
        rows.append(
            dict(video=f"{number}.mp4", label=("REAL", "FAKE")[number % 2], group=number, jpeg=buffer.getvalue())
        )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "stills.parquet")
    return tmp_path / "stills.parquet"


@pytest.fixture
def runs(tmp_path):
    """Two runs: the first held out stills 0 and 2, the second 1 and 3; their networks differ in the bias alone."""
    import torch

    from features.networks.efficientnet_lite import LiteNet, WeightsMetadata, save_weights

    folders = []
    for number, held in enumerate(((0, 2), (1, 3))):
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        torch.manual_seed(0)
        net = LiteNet()
        with torch.no_grad():
            net.logit.weight.zero_()
            net.logit.bias.fill_(number + 1.0)
        save_weights(net, folder / "labels.safetensors", WeightsMetadata(version="test", input_size=64))
        lines = [",".join(COLUMNS), *(f"{key}.mp4,{key},{key % 2},{key}.mp4,0.0" for key in held)]
        (folder / "labels.stills.csv").write_text("\n".join(lines) + "\n")
        folders.append(folder)
    return folders


def measured(stills, runs, out, *more):
    command = ["stills", str(stills), "--families", "forensic_cnn", "--networks", *map(str, runs), *more]
    return deepcue([*command, "--out", str(out), "--quiet"])


def test_each_still_is_judged_by_the_network_that_held_it_out(stills, runs, tmp_path):
    assert measured(stills, runs, tmp_path / "t.parquet", *ONE) == 0
    found = table.read_table(tmp_path / "t.parquet")
    assert found["filename"].to_pylist() == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    assert found["forensic_cnn.logit_mean"].to_pylist() == pytest.approx([1, 2, 1, 2], abs=1e-3)


def test_the_columns_join_a_table_of_the_same_stills(stills, runs, tmp_path):
    cues = tmp_path / "cues.parquet"
    assert deepcue(["stills", str(stills), "--families", "quality", "--jobs", "1", "--out", str(cues), "--quiet"]) == 0
    assert measured(stills, runs, tmp_path / "t.parquet", "--into", str(cues), *ONE) == 0
    found = table.read_table(tmp_path / "t.parquet")
    assert found.num_rows == 4
    assert table.table_families(found).keys() == {"quality", "forensic_cnn"}
    assert np.isfinite(found["quality.blur_lap_face_med"].to_numpy()).all()


@pytest.mark.parametrize("kept", [None, "other.mp4"], ids=["no table", "other stills"])
def test_a_table_that_the_columns_cannot_join_is_refused_before_the_work(
    stills, runs, tmp_path, capsys, monkeypatch, kept
):
    cues = tmp_path / "cues.parquet"
    if kept:
        assert measured(stills, runs, cues, *ONE) == 0
        other = table.read_table(cues).slice(0, 1)
        table.write_table(other.set_column(other.schema.get_field_index("filename"), "filename", [[kept]]), cues)
    monkeypatch.setattr("deepcue.cli.stills.of_stills", lambda *_, **__: pytest.fail("measured"))
    assert measured(stills, runs, tmp_path / "t.parquet", "--into", str(cues), *ONE) == 2
    assert ("holds none of these stills" if kept else "no such table") in capsys.readouterr().err


def test_runs_that_held_out_the_same_still_are_refused(stills, runs, tmp_path, capsys):
    assert measured(stills, [runs[0], runs[0]], tmp_path / "t.parquet", *ONE) == 2
    assert "two files" in capsys.readouterr().err


def test_a_run_without_the_weights_or_without_these_stills_is_named(stills, runs, tmp_path, capsys):
    (runs[1] / "labels.stills.csv").write_text(",".join(COLUMNS) + "\nother.mp4,o,0,other.mp4,0.0\n")
    assert measured(stills, runs, tmp_path / "t.parquet", *ONE) == 2
    assert f"{runs[1]}: none of these stills was held out" in capsys.readouterr().err
    (runs[0] / "labels.safetensors").unlink()
    assert measured(stills, runs, tmp_path / "t.parquet", *ONE) == 2
    assert f"{runs[0]} lacks labels.safetensors" in capsys.readouterr().err


def test_embeddings_of_stills_need_the_projection_of_their_run(stills, runs, tmp_path, capsys):
    for number, run in enumerate(runs):
        plane = projection.Projection(
            np.full(1280, 100.0 * number), np.eye(1280, 32), np.full((1, 32), -100.0 * number)
        )
        weights = {"forensic_cnn": run / "labels.safetensors"}
        projection.save_projections({"forensic_cnn": plane}, weights, run / "embedding_labels.safetensors")
    out = tmp_path / "t.parquet"
    assert measured(stills, runs, out, "--families", "forensic_cnn,cnn_embedding", *ONE) == 0
    found = table.read_table(out)
    assert found["forensic_cnn.logit_mean"].to_pylist() == pytest.approx([1.0, 2.0, 1.0, 2.0], abs=1e-3)
    first = found["cnn_embedding.cnn_c01_mean"].to_numpy()
    assert (first[[0, 2]] >= 0).all()
    assert (first[[1, 3]] <= -94).all()
    assert np.isnan(found["cnn_embedding.residual_c01_mean"].to_numpy()).all()  # the run has no such network
    (runs[1] / "embedding_labels.safetensors").unlink()
    assert measured(stills, runs, out, "--families", "cnn_embedding", *ONE) == 2
    assert "deepcue fit-projection --phase labels" in capsys.readouterr().err


def test_progress_goes_on_from_run_to_run(stills, runs):
    calls = []
    of_stills(read_stills(stills), runs, "labels", ["forensic_cnn"], progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[-1] == (4, 4, 0)


def test_a_network_sees_the_middle_of_a_still_in_views_of_training(stills, runs, monkeypatch):
    """Nearly the same pixels as those that training makes: the face finder is not asked."""
    from features.networks import crop_views, logit_columns
    from forge.images.augment import GeometricAugmentation, apply_geometric
    from training.faces import labelled_images, pools

    shown, in_view = [], logit_columns.in_view
    monkeypatch.setattr(logit_columns, "in_view", lambda *crop, **how: shown.append(in_view(*crop, **how)) or shown[-1])
    monkeypatch.setattr("extract.stills._observer", lambda: pytest.fail("asked"))
    of_stills(read_stills(stills), runs, "labels", ["forensic_cnn"])
    folder = stills.parent / "folder"
    folder.mkdir()
    table_of_stills = pq.read_table(stills)
    pq.write_table(table_of_stills.append_column("original", table_of_stills["video"]), folder / "stills.parquet")
    pool = pools.Pool(labelled_images.stills(folder))
    expected = [
        apply_geometric(*pool.face(row, with_landmarks=False)[:2], GeometricAugmentation(zoom, mirrored=mirrored), 64)
        for row in (0, 2, 1, 3)  # as the runs held them out
        for zoom, mirrored in crop_views.VIEWS
    ]
    views = len(crop_views.VIEWS)
    for first in range(0, 4 * views, views):
        some, others = (np.stack(images[first : first + views]).astype(float) for images in (shown, expected))
        gaps = np.abs(some[:, None] - others[None]).mean(axis=(2, 3, 4))  # grey levels
        assert gaps.diagonal().max() < 6
        assert (gaps.argmin(axis=1) == np.arange(views)).all()


def test_what_a_network_says_of_a_still_is_the_mean_over_views(stills, runs, monkeypatch):
    from features.networks.efficientnet_lite import Detector

    of_view = np.linspace(-1.0, 2.5, 8).astype(np.float32)
    monkeypatch.setattr(Detector, "predict", lambda _, images: (of_view[: len(images)], np.ones((len(images), 1280))))
    found = of_stills(read_stills(stills), runs, "labels", ["forensic_cnn"])
    assert found["forensic_cnn.logit_mean"].to_pylist() == pytest.approx([0.75] * 4)
    assert found["forensic_cnn.logit_std"].to_pylist() == pytest.approx([of_view.std()] * 4)


def test_families_that_need_landmarks_are_not_measured_with_the_networks(stills, runs, tmp_path, capsys):
    assert measured(stills, runs, tmp_path / "t.parquet", "--families", "forensic_cnn,blending") == 2
    assert "blending needs more than the crop of a face" in capsys.readouterr().err
