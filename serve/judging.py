"""From a clip's measurement to what the list says of it, and to its pages: the one with a player, the one to keep."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from ensemble import store
from ensemble.model import Model
from ensemble.outputs import write_text
from ensemble.verdict import CONTEXT_FAMILIES, NOTHING, Verdict, judge
from extract.entries import ClipEntry
from extract.pipeline import table_of_result
from extract.run.worker import Result, Settings, with_digests
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
    """Judges measured clips by a model and writes their pages; may be called from several threads.

    Parameters
    ----------
    folder
        Of the model, which is loaded when it is first asked for: at the start of the server, by :attr:`settings`.
    work
        Where pages go.
    version
        Of the program, for the page.
    """

    def __init__(self, folder: Path, work: WorkFolder, *, version: str = "") -> None:
        self._folder, self._work, self._version = folder, work, version

    @functools.cached_property
    def model(self) -> Model:
        """The model.

        Raises
        ------
        ModelError
            The folder holds none that can be used.
        """
        model = store.load_model(self._folder)
        store.check_families(model.layout, str(self._folder))
        return model

    @functools.cached_property
    def settings(self) -> Settings:
        """What is measured of every clip: the families of the model, and those that its notes are made of."""
        return with_digests(Settings(tuple(sorted({*self.model.layout.families, *CONTEXT_FAMILIES}))))

    def verdict(self, row: Row, result: Result) -> Mapping[str, Any]:
        """Judge a clip by its measurement.

        Returns
        -------
        dict
            What the list says of the clip, by the names of :mod:`serve.clips`.

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
        """Judge a clip by its measurement, and write its pages.

        Returns
        -------
        dict
            What the list says of the clip, and how it is to be played.

        Raises
        ------
        ModelError
            The model can't be loaded.
        InputError
            A page can't be written.
        FullError
            There is no room for the pages.
        """
        clip = self._work.clip(row["id"])
        verdict, table = self._judged(row, result)
        facts = ClipFacts.of_row(table, sha256=sha256_of(clip), made=_now(), version=self._version)
        plays = verdict.duration_s is not None and not verdict.sound_alone  # the player shows a picture
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
