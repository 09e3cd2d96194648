"""Scores of face networks as tables of the page of results."""

import json
import time

import pytest

from reports.face_tables import write_tables
from reports.results_page import read_results


def subset(auc, sources=()):
    overall = dict(n=9, auc_interval=[auc, auc, auc], log_loss_oracle=0.5, confident_false_positives=0.125)
    kinds = {"lip sync": {"n": 4, "auc": [auc, auc - 0.1, auc + 0.1], "own": [0.9, 0.8, 1.0]}}
    return {
        "all": overall,
        "n_groups": 7,
        "kinds": kinds,
        "groups_ranked_correctly": [2.0, 3],
        "false_positives": dict(sources),
    }


def test_the_last_network_is_shown_whole_and_the_others_on_clips_alone(tmp_path):
    def of(auc):
        original = {
            "clips": subset(auc, {"few": [9, 0.5, 0.0], "many": [12, 0.25, 0.5]}),
            "pictures": subset(auc - 0.1),
        }
        return {"original": original, "half size, CRF 32": {"clips": subset(auc - 0.2)}}

    files = write_tables(tmp_path, {"one": of(0.6), "mean": of(0.8)}, command="c", data="d", version="9.9")
    assert [file.name for file in files] == ["face_networks.json", "kinds.json", "real_sources.json"]
    tables = read_results(tmp_path)
    assert [row[:4] for row in tables["face_networks"].rows] == [
        ["one", "original: clips", "9", [0.6, 0.6, 0.6]],
        ["mean", "original: clips", "9", [0.8, 0.8, 0.8]],
        ["mean", "original: pictures", "9", [0.7000000000000001, 0.7000000000000001, 0.7000000000000001]],
        ["mean", "half size, CRF 32: clips", "9", [0.6000000000000001, 0.6000000000000001, 0.6000000000000001]],
    ]
    assert tables["face_networks"].rows[0][5:] == ["2 of 3", "12.5%"]
    clips, images = tables["kinds"].rows
    assert [round(clips[number][0], 3) for number in (2, 4)] == [0.8, 0.6]  # as they are, and re-encoded
    assert images[4] is None
    assert tables["real_sources"].rows == [["many", "12", "25%", "50%"]]
    assert json.loads(files[0].read_text())["version"] == "9.9"
    assert (tables["kinds"].n_clips, tables["kinds"].n_groups) == (9, 7)
    assert all(tables[name].title.endswith(", mean of the face networks") for name in ("kinds", "real_sources"))


def test_a_single_network_is_called_by_its_name(tmp_path):
    """Non-regression test: it was called the mean of the networks."""
    write_tables(tmp_path, {"fold": {"original": {"clips": subset(0.6)}}}, command="c", data="d", version="9.9")
    tables = read_results(tmp_path)
    assert tables["kinds"].title == "By kind of manipulation, RGB network"
    assert tables["real_sources"].title == "False positives by source of REAL clips, RGB network"
    assert tables["face_networks"].rows[0][0] == "RGB network"


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no time zones of a process")
def test_tables_are_of_the_day_in_utc(tmp_path, monkeypatch):
    def date(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        write_tables(tmp_path, {"fold": {"original": {"clips": subset(0.6)}}}, command="c", data="d", version="9.9")
        return read_results(tmp_path)["kinds"].date

    try:
        assert date("UTC-14") == date("UTC+12")  # 26 hours apart: never the same day there
    finally:
        monkeypatch.undo()
        time.tzset()
