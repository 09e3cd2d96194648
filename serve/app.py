"""The routes of the server: the list, a clip's page and video, uploads, exports."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

import reports
from ensemble.wording import bound_in_words
from reports.clip_report import STATUS_WORDS
from reports.html import probability
from serve.clips import DONE, PLAYS_CHANGED, PLAYS_FILE, PLAYS_PREVIEW, ClipList, Row
from serve.folder import CLIP, PAGE, PREVIEW, REPORT, WorkFolder
from serve.measuring import Measuring
from serve.pages import list_page, missing_page, waiting_page
from serve.preview import MP4
from serve.uploads import Uploads

HERE = Path(__file__).resolve().parent / "static"
THEIRS = Path(reports.__file__).resolve().parent / "static"
STATIC = {
    "clip.css": (THEIRS / "clip.css", "text/css"),
    "clip.js": (THEIRS / "clip.js", "text/javascript"),
    "serve.css": (HERE / "serve.css", "text/css"),
    "list.js": (HERE / "list.js", "text/javascript"),
    "player.js": (HERE / "player.js", "text/javascript"),
}
"""All static files, by name; no other file is served."""
EXPORTED = ("name", "verdict", "probability", "at_bound", "status", "error", "duration_s", "n_faces", "size", "added_s")
NUMBER = re.compile("[0-9]{1,18}")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would execute a cell that begins with one of these


@dataclass(frozen=True)
class Parts:
    """The objects that the routes use."""

    clips: ClipList
    work: WorkFolder
    measuring: Measuring
    uploads: Uploads


def application(parts: Parts) -> Starlette:
    """Return the application; it must be wrapped in a :class:`serve.guard.Guard`."""
    app = Starlette(
        routes=[
            Route("/", _front),
            Route("/clips/{clip_id}", _clip),
            Route("/clips/{clip_id}/video", _video),
            Route("/clips/{clip_id}/report", _report),
            Route("/api/clips", _changes),
            Route("/api/clips", _upload, methods=["POST"]),
            Route("/api/clips/{clip_id}", _single),
            Route("/api/clips/{clip_id}", _delete, methods=["DELETE"]),
            Route("/api/clips/{clip_id}/again", _again, methods=["POST"]),
            Route("/clips.csv", _csv),
            Route("/clips.json", _json),
            Route("/static/{name}", _static),
            Route("/favicon.ico", lambda _: Response(status_code=204)),
        ],
        exception_handlers={KeyError: _unknown, 404: _unknown},
    )
    app.state.parts = parts
    return app


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _row(request: Request) -> Row:
    """Return the row of the requested clip, marked as changed if its file is not the one that was measured.

    Raises
    ------
    KeyError
        There is no such clip.
    """
    row = _parts(request).clips.row(request.path_params["clip_id"])
    if row["player"] == PLAYS_FILE and row["mark"] not in {"", _parts(request).work.mark(row["id"])}:
        row["player"] = PLAYS_CHANGED
    return row


def _unknown(request: Request, _: Exception) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": "there is no such clip"}, 404)
    return Response(missing_page(), 404, media_type="text/html")


def _front(request: Request) -> Response:
    return Response(list_page(_parts(request).uploads.max_bytes), media_type="text/html")


def _clip(request: Request) -> Response:
    row = _row(request)
    page = _parts(request).work.of(row["id"]) / PAGE
    if _has_page(row) and page.is_file():
        return Response(page.read_bytes(), media_type="text/html")
    return Response(waiting_page(row), media_type="text/html")


def _has_page(row: Row) -> bool:
    return bool(row["state"] == DONE and row["has_page"])


def _file(path: Path, media_type: str, name: str | None = None) -> Response:
    """Return the answer with a file of the work folder, whole or in ranges.

    Raises
    ------
    KeyError
        The file does not exist; the answer is then 404.
    """
    try:
        return FileResponse(path, media_type=media_type, filename=name, stat_result=os.stat(path))
    except FileNotFoundError as error:
        raise KeyError(path.name) from error


def _video(request: Request) -> Response:
    row, work = _row(request), _parts(request).work
    if row["player"] == PLAYS_PREVIEW:
        return _file(work.of(row["id"]) / PREVIEW, MP4)
    if row["player"] == PLAYS_FILE:
        return _file(work.of(row["id"]) / CLIP, row["media_type"])
    raise KeyError("video")


def _report(request: Request) -> Response:
    row = _row(request)
    if not _has_page(row):  # an earlier attempt may have left the file
        raise KeyError("report")
    return _file(_parts(request).work.of(row["id"]) / REPORT, "text/html", f"{Path(row['name']).stem}.html")


def _changes(request: Request) -> Response:
    since = request.query_params.get("since", "0")
    changes = _parts(request).clips.changes(
        int(since) if NUMBER.fullmatch(since) else 0, request.query_params.get("boot", "")
    )
    work = _parts(request).work
    rows = [_with_words(row) for row in changes["rows"]]
    return JSONResponse(changes | {"rows": rows, "room": {"used": work.used, "most": work.max_bytes}})


def _with_words(row: Row) -> Row:
    """Return a row with its status in words and its probability as displayed."""
    known = row["probability"]
    score = None if known is None else probability(known)
    if score is not None and row["at_bound"]:
        score = f"{score} {bound_in_words(known)}"
    return row | {"said": STATUS_WORDS.get(row["status"], row["status"]), "score": score}


def _single(request: Request) -> Response:
    return JSONResponse(_with_words(_row(request)))


async def _upload(request: Request) -> Response:
    return await _parts(request).uploads.take(request)


def _delete(request: Request) -> Response:
    parts, clip_id = _parts(request), request.path_params["clip_id"]
    parts.clips.delete(clip_id)
    parts.measuring.cancel(clip_id)
    parts.work.remove(clip_id)
    return Response(status_code=204)


def _again(request: Request) -> Response:
    _parts(request).clips.again(request.path_params["clip_id"])
    return Response(status_code=204)


def _finished(request: Request) -> list[dict[str, Any]]:
    """Return the rows of the exports: finished clips, the most probably fake first, clips without a finding last."""
    rows = [row for row in _parts(request).clips.rows() if row["state"] == DONE]
    rows.sort(key=lambda row: (row["probability"] is None, -(row["probability"] or 0.0), row["name"]))
    return [{name: row[name] for name in EXPORTED} for row in rows]


def _csv(request: Request) -> Response:
    text = io.StringIO()
    writer = csv.DictWriter(text, EXPORTED)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in _finished(request))
    return _download(text.getvalue(), "text/csv", "clips.csv")


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _json(request: Request) -> Response:
    return _download(json.dumps({"clips": _finished(request)}, indent=2), "application/json", "clips.json")


def _download(text: str, media_type: str, name: str) -> Response:
    return Response(text, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _static(request: Request) -> Response:
    path, media_type = STATIC[request.path_params["name"]]
    return Response(path.read_bytes(), media_type=media_type)
