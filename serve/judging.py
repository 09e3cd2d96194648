"""Predict a measured clip and write its two pages: one with a player for the server, and one file to keep."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ensemble import store
from ensemble.compatibility import check_families
from ensemble.model import Model
from ensemble.outputs import write_text
from ensemble.verdict import CONTEXT_FAMILIES, NOTHING, Verdict, judge
from extract.entries import ClipEntry
from extract.pipeline import table_of_result
from extract.run.worker import MAX_SECONDS, Result, Settings, with_digests
from features.checksums import sha256_of
from features.evidence import ClipEvidence
from reports.clip_report import ClipFacts, Served, clip_page
from serve.clips import NEEDS_PREVIEW, PLAYS_NOT, Row
from serve.folder import PAGE, REPORT, WorkFolder

ASSETS = "/static/"
NAVIGATION = """<nav class="serve-nav"><a href="/">← All clips</a> <a id="keep" href="/clips/{id}/report" download>Keep
this page as one file</a></nav>"""
PLAYER = """<div id="player" class="player" data-clip="{id}"><p class="player-note" role="status">The player is being
prepared.</p></div>"""


class Judging:
    """Predict measured clips with a model and write their pages; may be called from several threads.

    Parameters
    ----------
    folder
        Model folder. The model is loaded on first use, which is :attr:`settings` at the start of the server.
    work
        Folder for the pages.
    version
        Version of deepcue, shown on the page.
    """

    def __init__(self, folder: Path, work: WorkFolder, *, version: str = "") -> None:
        self._folder, self._work, self._version = folder, work, version

    @functools.cached_property
    def model(self) -> Model:
        """The model.

        Raises
        ------
        ModelError
            The folder holds no usable model.
        """
        model = store.load_model(self._folder)
        check_families(model.layout, str(self._folder))
        return model

    @functools.cached_property
    def settings(self) -> Settings:
        """Settings of every measurement: the families and the analysed length of the model, and families for notes."""
        layout = self.model.layout
        families = tuple(sorted({*layout.families, *CONTEXT_FAMILIES}))
        return with_digests(Settings(families, max_seconds=layout.max_seconds or MAX_SECONDS))

    def verdict(self, row: Row, result: Result) -> Mapping[str, Any]:
        """Predict a measured clip.

        Returns
        -------
        dict
            Columns of the list, see :data:`serve.clips.RESULT`.

        Raises
        ------
        ModelError
            The model can't be loaded.
        """
        return _listed(self._judged(row, result)[0])

    def _judged(self, row: Row, result: Result) -> tuple[Verdict, pa.Table]:
        clip = ClipEntry(row["shown"], str(self._work.clip(row["id"])))
        table = table_of_result(clip, result, self.settings)
        (verdict,) = judge(self.model, table)
        return verdict, table

    def pages(self, row: Row, result: Result, evidence: ClipEvidence | None) -> Mapping[str, Any]:
        """Predict a measured clip and write its pages.

        Returns
        -------
        dict
            Columns of the list, including how the clip is to be played.

        Raises
        ------
        ModelError
            The model can't be loaded.
        InputError
            A page can't be written.
        FullError
            The work folder has no room for the pages.
        """
        clip = self._work.clip(row["id"])
        verdict, table = self._judged(row, result)
        facts = ClipFacts.of_row(table, sha256=sha256_of(clip), made=_now(), version=self._version)
        plays = verdict.duration_s is not None and not verdict.audio_only  # the player needs a video stream
        served = Served(
            assets=ASSETS,
            scripts=(f"{ASSETS}player.js",),
            styles=(f"{ASSETS}serve.css",),
            player=PLAYER.format(id=row["id"]) if plays else "",
            navigation=NAVIGATION.format(id=row["id"]),
        )
        pages = {
            name: clip_page(verdict, self.model.manifest, self._folder, facts=facts, evidence=evidence, served=around)
            for name, around in ((REPORT, None), (PAGE, served))
        }
        self._work.make_room(row["id"], {name: len(page.encode()) for name, page in pages.items()})
        for name, page in pages.items():
            write_text(self._work.of(row["id"]) / name, page)
        return {**_listed(verdict), "has_page": 1, "player": NEEDS_PREVIEW if plays else PLAYS_NOT}


def _listed(verdict: Verdict) -> dict[str, Any]:
    return {
        "status": verdict.status,
        "error": verdict.reason,
        "verdict": verdict.verdict,
        "probability": None if verdict.verdict == NOTHING else verdict.probability,
        "at_bound": verdict.at_bound,
        "duration_s": verdict.duration_s,
        "n_faces": verdict.n_faces,
    }


def _now() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
