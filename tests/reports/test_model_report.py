import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_model import FAMILIES, toy_model, toy_table

from deepcue.cli.main import main as deepcue
from ensemble import out_of_fold
from ensemble.ablation import KIND
from ensemble.metrics import Score
from ensemble.store import load_model
from ensemble.verdict import Verdict
from features.errors import InputError, ModelError
from features.table import write_table
from reports import clip_report, findings, model_report, plots, references, subgroups


class Page(HTMLParser):
    """Tags, attributes that load something, images, and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.images, self.headings, self.ids, self.targets = [], [], 0, set(), set()
        self.words, self.rows, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.headings += tag in {"h2"}
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self.inside = True
        self.ids |= {attributes["id"]} if "id" in attributes else set()
        if tag == "img":
            self.images.append(attributes)
        if tag == "a":
            self.targets.add(attributes["href"].removeprefix("#"))
        self.loads += [attributes[name] for name in ("src", "srcset", "data") if name in attributes]
        assert tag not in {"script", "link", "iframe"}

    def handle_data(self, data):
        self.words.append(data)
        if self.inside:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in {"td", "th"}

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words).replace("\u00a0", " "))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Table file and model folder; one clip of the table is unreadable."""
    folder = tmp_path_factory.mktemp("report")
    table = toy_table(without_cues=[7], without_audio=[4, 5])
    toy_model(table, folder / "model")
    return folder / "toy.parquet", folder / "model"


@pytest.fixture(scope="module")
def text(trained, tmp_path_factory):
    table, model = trained
    ablation = tmp_path_factory.mktemp("ablation") / "ablation.json"
    deltas = {"blink": (0.3, 0.1, 0.5), "lip_sync": (0.01, -0.1, 0.1), "quality": (-0.2, -0.3, -0.1)}
    families = {
        name: {"delta_log_loss": dict(zip(("value", "low", "high"), numbers, strict=True))}
        for name, numbers in deltas.items()
    }
    ablation.write_text(json.dumps({"kind": KIND, "families": families}))
    out = tmp_path_factory.mktemp("page") / "below" / "report.html"
    options = ["--table", str(table), "--model", str(model), "--out", str(out), "--ablation", str(ablation)]
    assert deepcue(["report", *options]) == 0
    return out.read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_outside(text):
    page = Page(text)
    assert page.loads
    assert all(one.startswith("data:image/svg+xml;base64,") for one in page.loads)
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in re.sub(r"data:image[^\"]*", "", text)


def test_every_image_has_a_text_and_every_link_a_target(text):
    page = Page(text)
    assert len(page.images) == 6  # reliability, ROC, scores, ablation, permutation importance, attribution
    assert all(len(one["alt"]) > 20 for one in page.images)
    assert page.targets <= page.ids
    assert page.headings == 6


def score_table(text):
    """Learner to title to the text of its cell, of the table of scores."""
    rows = [[" ".join(cell.split()) for cell in row] for row in Page(text).rows]
    (start,) = [number for number, row in enumerate(rows) if row[:2] == ["", "Log loss"]]
    titles = rows[start][1:]
    table = {}
    for name, *cells in rows[start + 1 :]:
        if len(cells) != len(titles):
            break
        table[name] = dict(zip(titles, cells, strict=True))
        if name == "constant":
            break
    return table


def test_the_numbers_of_the_score_table_are_those_of_the_manifest_in_their_columns(text, trained):
    page, manifest = Page(text).text, load_model(trained[1]).manifest
    table = score_table(text)
    assert set(table) == set(manifest["metrics"]) == {"logistic", "stack", "constant"}
    titles = {title: key for key, title, _ in model_report.SCORES}
    for name, cells in table.items():
        assert {titles[title] for title in cells} == set(manifest["metrics"]["stack"])
        for title, cell in cells.items():
            score = manifest["metrics"][name][titles[title]]
            assert cell.startswith(f"{score['value']:.3f}"), (name, title)
            if score["low"] is not None:
                assert cell.endswith(f"{score['low']:.3f} to {score['high']:.3f}"), (name, title)
    assert "48 synthetic clips (24 REAL, 24 FAKE) in 12 groups" in page


def test_synthetic_data_is_called_so_where_numbers_stand(text):
    page = Page(text).text
    assert "Synthetic data. The clips were made by this project" in page
    assert "The data is synthetic" in page
    assert "Out of fold: 48 synthetic clips" in page


def test_the_conclusion_names_families_by_what_their_intervals_say(text):
    page = Page(text).text
    assert "Trained without these families, log loss rises: blink." in page
    assert "Trained without these families, log loss falls: quality." in page
    assert "No evidence that these families add to the others: lip_sync." in page


def test_references_are_those_of_the_families(text):
    page = Page(text).text
    assert "In Ictu Oculi" in page  # blink
    assert "FaceSync" in page  # lip_sync
    assert references.CUES["Durall et al. 2019"] not in page  # of a family that this model does not have


def test_what_was_not_done_to_an_imported_table_is_not_claimed(tmp_path):
    """Non-regression test: faces were said to be tracked in clips that nobody had opened.

    Nor was there a page where no group holds both labels: the concordance within groups is undefined then.
    """
    rng = np.random.default_rng(0)
    rows = [f"{n}.mp4,{('REAL', 'FAKE')[n % 2]},{rng.normal() + 2 * (n % 2):.3f}" for n in range(48)]
    (tmp_path / "cues.csv").write_text("\n".join(["filename,label,sharp", *rows]))
    table, folder, page = (tmp_path / name for name in ("t.parquet", "model", "r.html"))
    assert deepcue(["import-csv", str(tmp_path / "cues.csv"), "--out", str(table)]) == 0
    options = ["--learners", "logistic", "--folds", "3", "--quiet"]
    assert deepcue(["train", "--table", str(table), "--out", str(folder), *options]) == 0
    model_report.write_report(table, folder, page)
    text = Page(page.read_text(encoding="utf-8")).text
    assert "The table was imported" in text
    assert "Brier score" in text
    assert "Within-group concordance" not in text
    assert "detected, tracked" not in text
    assert "Extractor version" not in text


def test_equal_inputs_give_equal_bytes(trained, tmp_path):
    table, model = trained
    for name in ("a.html", "b.html"):
        model_report.write_report(table, model, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_recalibrated_model_says_what_was_given(trained, tmp_path):
    """Non-regression test: shrinkage was said to be left out for want of sources, calibration to be chosen."""
    table, model = trained
    shutil.copytree(model, tmp_path / "model")
    given = ["--scale", "0.5", "--bound", "0.02", "--quiet"]
    assert deepcue(["recalibrate", str(tmp_path / "model"), *given]) == 0
    model_report.write_report(table, tmp_path / "model", tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "the scale 0.5 of the log-odds and the bound 0.02 of probabilities were given" in text
    for untrue in ("too few sources", "chosen by log loss out of fold", "the strength of OOD shrinkage"):
        assert untrue not in text


def test_what_knows_of_the_held_out_clips_is_said(text):
    assert "no part of the model had seen" not in text
    assert "the choice of cue families, the strength of OOD shrinkage, and the constant" in text
    assert "detected, tracked" in text


def test_names_from_outside_are_escaped(tmp_path):
    one = Verdict("<script>x</script>.mp4", 0.5, "uncertain", "ok", "<b>", 1, 3.0, 75, 0.0, {"blink": 0.0})
    manifest = {"summary": {"synthetic": False, "n_clips": 1, "n_groups": 1}, "target_prior": 0.5}
    clip_report.write_clip_report(tmp_path / "page.html", [one], manifest, tmp_path)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;x&lt;/script&gt;.mp4" in text


def test_another_table_is_refused(trained, tmp_path):
    table, model = trained
    other = toy_table(n_groups=2)
    write_table(other, tmp_path / "other.parquet")
    with pytest.raises(ModelError, match=r"40 of 48 clips are not in the table .* the table that"):
        model_report.write_report(tmp_path / "other.parquet", model, tmp_path / "x.html")
    assert deepcue(["report", "--table", str(tmp_path / "gone"), "--model", str(model), "--out", "x.html"]) == 2
    with pytest.raises(InputError, match="is a file"):
        model_report.write_report(table, model, table / "x.html")


def test_another_kind_of_file_is_refused_as_an_ablation(trained, tmp_path):
    (tmp_path / "ablation.json").write_text('{"kind": "else"}')
    with pytest.raises(InputError, match="not an ablation"):
        model_report.write_report(*trained, tmp_path / "x.html", tmp_path / "ablation.json")


def manifest_with(**stack):
    scores = {"auc": {"value": 0.9, "low": 0.8, "high": 0.95}, "ece": {"value": 0.02, "low": 0.0, "high": 0.1}}
    return {"summary": {"synthetic": False, "n_groups": 500}, "metrics": {"stack": {**scores, **stack}}}


@pytest.mark.parametrize(
    ("gain", "kind", "words"),
    [
        (Score(0.2, 0.1, 0.3), "good", "beats the constant predictor: its log loss is lower by 0.200"),
        (Score(0.2, -0.1, 0.4), "open", "not shown that the model beats the constant"),
        (Score(-0.2, -0.4, -0.1), "bad", "worse than the constant predictor: its log loss is higher by 0.200"),
    ],
)
def test_the_conclusion_follows_the_interval_of_the_difference(gain, kind, words):
    first = findings.findings(manifest_with(), gain, float("nan"))[0]
    assert first.kind == kind
    assert words in first.text


def test_chance_within_the_interval_is_stated_for_auc_and_concordance():
    chance = {"value": 0.6, "low": 0.45, "high": 0.7}
    manifest = manifest_with(auc=chance, within_group_concordance=chance)
    conclusion = findings.findings(manifest, Score(0.1, 0.05, 0.2), float("nan"))
    texts = [one.text for one in conclusion if one.kind == "open"]
    assert any(text.startswith("Its ranking is not shown to be better than chance") for text in texts)
    assert any("within-group concordance is 0.600 (0.450 to 0.700): not shown to be better" in text for text in texts)
    assert not any("one original" in text for text in texts), "a group may hold several"


def test_sources_of_one_class_and_few_groups_are_pointed_out():
    few = manifest_with()
    few["summary"]["n_groups"] = 12
    text = " ".join(one.text for one in findings.findings(few, Score(0.1, 0.05, 0.2), 0.99))
    assert "Only 12 independent groups" in text
    assert "99 % of the clips come from sources that hold one class only" in text


def test_without_an_ablation_the_conclusion_is_of_permutation_importance():
    manifest = manifest_with()
    manifest["permutation_importance"] = {
        "blink": {"delta_log_loss": 0.2, "low": 0.1, "high": 0.3},
        "quality": {"delta_log_loss": 0.2, "low": None, "high": None},
    }
    text = " ".join(one.text for one in findings.findings(manifest, Score(0.1, 0.05, 0.2), 0.0))
    assert "Permuting these families raises log loss: blink." in text
    assert "gains from these families: quality." in text


@pytest.mark.parametrize(
    ("losses", "a", "words"),
    [
        ((0.5, 0.8), 0.2, "0.500 at the target prior, below the 0.693"),
        ((0.8, 0.5), 0.2, "does not generalise"),
        (
            (0.8, 0.5),
            0.0,
            "0.500 at the target prior, below the 0.693",
        ),  # shrinkage is not used: its loss is not the model's
    ],
)
def test_sources_left_out_are_compared_with_the_constant(losses, a, words):
    shrinkage = {"log_loss_with": losses[0], "log_loss_without": losses[1], "a": a, "b": 0.0}
    manifest = {**manifest_with(), "shrinkage": shrinkage, "target_prior": 0.5}
    assert any(words in one.text for one in findings.findings(manifest, Score(0.1, 0.05, 0.2), 0.0))


def test_the_gain_agrees_with_the_printed_scores(trained):
    table_file, folder = trained
    oof, manifest = out_of_fold.read_oof(folder, pq.read_table(table_file)), load_model(folder).manifest
    gain = findings.gain_over_constant(oof.y, oof.stack, oof.group)
    scores = manifest["metrics"]
    assert gain.value == pytest.approx(scores["constant"]["log_loss"]["value"] - scores["stack"]["log_loss"]["value"])
    assert gain.value > 0.05  # the planted cue is found among hundreds of columns of noise


def test_the_interval_of_the_gain_is_of_the_seed_of_the_training(trained):
    table, model = pq.read_table(trained[0]), load_model(trained[1])
    model = replace(model, manifest={**model.manifest, "seed": 5})
    oof = out_of_fold.read_oof(trained[1], table)
    about = {"table": "t", "model": "m", "extractor": "e"}
    found = model_report.model_context(table, model, oof, {}, about)["gain"]
    gains = [findings.gain_over_constant(oof.y, oof.stack, oof.group, seed=seed) for seed in (0, 5)]
    assert found == gains[1] != gains[0]


def test_family_facts_hold_the_fraction_of_clips_measured(trained):
    table = pq.read_table(trained[0])
    facts = {one["name"]: one for one in subgroups.family_facts(table, dict.fromkeys(FAMILIES, 1))}
    assert facts["blink"]["real"] == 1.0
    assert facts["blink"]["fake"] == pytest.approx(23 / 24)  # row 7 is FAKE and unreadable
    assert facts["lip_sync"]["real"] == pytest.approx(23 / 24)
    assert facts["lip_sync"]["fake"] == pytest.approx(22 / 24)
    assert facts["lip_sync"]["needs"] == ["sound", "track"]


def test_a_source_of_one_class_is_ranked_against_all_of_the_other():
    y = np.array([1, 1, 0, 0, 1, 0])
    p = np.array([0.9, 0.8, 0.85, 0.1, 0.2, 0.3])
    table = pa.table({"source": ["a", "a", "b", "b", "c", "c"]})
    oof = out_of_fold.OutOfFold(y, np.arange(6), np.arange(6), {"stack": p})
    rows = {row["name"]: row for row in subgroups.parts(table, oof, "source")}
    assert rows["a"]["auc"] == pytest.approx(5 / 6)  # 0.9 above all three REAL, 0.8 above two
    assert not rows["a"]["both_classes"]
    assert rows["b"]["auc"] == pytest.approx((1 + 3 - 1 + 1) / 6)  # 0.85 below one of three FAKE, 0.1 below all
    assert np.isnan(rows["c"]["auc"])  # one of each gives no AUC
    assert subgroups.one_sided(table, oof) == pytest.approx(4 / 6)
    assert np.isnan(subgroups.one_sided(pa.table({"source": [None, ""] * 3}), oof))


def test_of_many_sources_the_largest_have_a_part_each(monkeypatch):
    """Non-regression test: 20,000 sources had 20,000 rows, each of a pass over all clips."""
    monkeypatch.setattr(subgroups, "MAX_PARTS", 2)
    y = np.array([1, 0] * 5)
    table = pa.table({"source": ["b", "b", "b", "d", "d", "a", "c", None, "", "b"]})
    oof = out_of_fold.OutOfFold(y, np.arange(10), np.arange(10), {"stack": np.linspace(0, 1, 10)})
    rows = subgroups.parts(table, oof, "source")
    assert [(row["name"], row["n_real"] + row["n_fake"]) for row in rows] == [("b", 4), ("d", 2), ("2 others", 2)]
    assert subgroups.one_sided(table, oof) == pytest.approx(2 / 8)


def test_reliability_bins_of_a_calibrated_score_lie_on_the_diagonal():
    rng = np.random.default_rng(0)
    p = rng.random(6000)
    y = (rng.random(6000) < p).astype(np.int64)
    bins = plots.reliability_bins(y, p, np.arange(6000) // 3)
    assert len(bins.count) == plots.MAX_BINS
    assert bins.count.sum() == 6000
    assert bins.rate == pytest.approx(bins.mean_p, abs=0.05)
    assert (bins.low <= bins.rate).all()
    assert (bins.rate <= bins.high).all()


def test_no_two_learners_share_a_line():
    from ensemble.learners.registry import default_settings

    assert len(set(plots.LINES)) == len(plots.LINES) >= len(default_settings(4_000, 300))  # the most
    assert plots.MAIN_COLOUR not in {colour for colour, _ in plots.LINES}


def test_figures_stand_few_clips_and_tied_scores():
    y, p = np.array([0, 1, 0, 1]), np.full(4, 0.5)
    assert plots.reliability(plots.reliability_bins(y, p, np.arange(4))).src.startswith("data:image/svg+xml")
    assert "0.500" in plots.roc(y, {"stack": p}).alt
    assert "0.50" in plots.score_distribution(y, p).alt


def test_scores_by_terciles_of_a_column_and_of_the_clips_without_it():
    sizes = [10.0, 12.0, 30.0, 33.0, 80.0, 90.0, float("nan"), float("nan")]
    table = pa.table({subgroups.FACE_SIZE: sizes, "source": ["s"] * 8, "status": ["ok"] * 8})
    y, p = np.array([0, 1] * 4), np.array([0.2, 0.8, 0.6, 0.4, 0.5, 0.5, 0.5, 0.5])
    oof = out_of_fold.OutOfFold(y, np.arange(8), np.arange(8), {"stack": p})
    by_title = subgroups.score_parts(table, oof)
    assert list(by_title) == ["inter-ocular distance"]  # one source, one status, no sharpness: nothing to compare
    losses = [round(part["log_loss"], 6) for part in by_title["inter-ocular distance"]]
    assert losses == [round(-np.log(v), 6) for v in (0.8, 0.4, 0.5, 0.5)]
    assert by_title["inter-ocular distance"][-1]["name"] == "not measured"
    assert subgroups.terciles(pa.table({"a": [1.0] * 8}), oof, "a") == []


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_fits_the_window_and_is_accessible(text, width):
    pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    import browser as browsers

    if not browsers.PROGRAM:
        pytest.skip(browsers.WHY_NOT)
    with browsers.chromium() as browser, browsers.window(browser, viewport={"width": width, "height": 800}) as page:
        page.set_content(text)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        captions = page.evaluate("[...document.querySelectorAll('caption')].map((one) => one.clientWidth)")
        assert max(captions) <= width
        serious = {"serious", "critical"}
        assert not [one["id"] for one in axe.run(page).response["violations"] if one["impact"] in serious]
