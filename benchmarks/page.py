"""Compare the cost of the page with `deepcue predict`: wall time from upload to verdict, and CPU seconds.

    python -m benchmarks.page DATA --clips 3

Each clip is measured in three ways: as by `deepcue predict`; as by `deepcue predict --report`, with the evidence for
the page of a clip; and by a server on the loopback interface, which reports the verdict before it collects the
evidence. Start-up is excluded: each way first measures the first clip once, in a process that stays.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from ensemble.store import default_model, load_model
from ensemble.verdict import Verdict, judge
from extract.dataset import find_clips
from extract.entries import ClipEntry
from extract.pipeline import table_of_result
from extract.run.examiner import Examiner
from extract.run.sandbox import Limits, Sandbox
from extract.run.worker import Settings
from features.errors import InputError
from features.evidence import FACES_PER_SECOND
from reports.clip_report import ClipFacts, clip_page

POLL_S = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; return 0, or 2 when the data can't be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATA", help="clips to measure on: a folder, manifest or URL")
    parser.add_argument("--clips", type=int, default=3, help="number of clips, evenly spread (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args(argv)
    try:
        clips = find_clips(arguments.data)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    figures = measure(clips[:: max(1, len(clips) // arguments.clips)][: arguments.clips])
    print(json.dumps(figures) if arguments.json else report(figures))
    return 0


def measure(clips: Sequence[ClipEntry]) -> dict[str, Any]:
    """Measure wall time and CPU seconds of all processes for the same clips, one way after the other."""
    figures: dict[str, Any] = {"clips": len(clips)}
    for way, timed in (("predict", _by_predict), ("report", _by_report), ("page", _by_page)):
        figures |= {f"{way}_{name}": value for name, value in timed(clips).items()}
    ratios = {
        "verdict": figures["page_verdict_s"] / figures["predict_verdict_s"],
        "cpu": figures["page_verdict_cpu_s"] / figures["predict_cpu_s"],
        "whole": figures["page_cpu_s"] / figures["report_cpu_s"],
    }
    return figures | {"ratios": ratios}


def report(figures: dict[str, Any]) -> str:
    """Format the figures as lines of text."""
    rows: list[tuple[str, ...]] = [(f"{figures['clips']} clips", "predict", "--report", "page")]
    for what, key in (
        ("seconds to the verdict", "verdict_s"),
        ("CPU seconds to the verdict", "verdict_cpu_s"),
        ("seconds to the end", "end_s"),
        ("CPU seconds to the end", "cpu_s"),
    ):
        rows.append((what, *(f"{figures[f'{way}_{key}']:.2f}" for way in ("predict", "report", "page"))))
    lines = ["  ".join(cell.rjust(9) if n else cell.ljust(26) for n, cell in enumerate(row)) for row in rows]
    ratios = (
        "page over predict, to the verdict: {verdict:.2f} in time, {cpu:.2f} in CPU; over --report: {whole:.2f} in CPU"
    )
    return "\n".join([*lines, ratios.format(**figures["ratios"])])


def _by_predict(clips: Sequence[ClipEntry]) -> dict[str, float]:
    model = load_model(default_model())
    settings = Settings(tuple(sorted(model.layout.families)))
    sandbox = Sandbox(settings, Limits())

    def predict(clip: ClipEntry) -> list[Verdict]:
        return judge(model, table_of_result(clip, sandbox.measure(clip.filename, clip.path), settings))

    try:
        predict(clips[0])
        figures = _timed(lambda: list(map(predict, clips)))
    finally:
        sandbox.close()
    return figures | {"verdict_s": figures["end_s"], "verdict_cpu_s": figures["cpu_s"]}


def _by_report(clips: Sequence[ClipEntry]) -> dict[str, float]:
    model = load_model(default_model())
    settings = Settings(tuple(sorted(model.layout.families)))
    examiner = Examiner(settings, Limits(), faces_per_second=FACES_PER_SECOND, show_faces=True)

    def predict(clip: ClipEntry) -> str:
        result, evidence = examiner.measure(clip.filename, clip.path)
        table = table_of_result(clip, result, settings)
        (verdict,) = judge(model, table)
        facts = ClipFacts.of_row(table)
        return clip_page(verdict, model.manifest, default_model(), facts=facts, evidence=evidence)

    try:
        predict(clips[0])
        figures = _timed(lambda: list(map(predict, clips)))
    finally:
        examiner.close()
    return figures | {"verdict_s": figures["end_s"], "verdict_cpu_s": figures["cpu_s"]}


def _by_page(clips: Sequence[ClipEntry]) -> dict[str, float]:
    from serve.server import Options, Server

    with tempfile.TemporaryDirectory() as work:
        server = Server(Options(work=Path(work), model=default_model(), port=0))
        thread = threading.Thread(target=server.run)
        thread.start()
        address = urllib.parse.urlsplit(server.url).netloc
        try:
            _judged(address, clips[0])
            after: list[tuple[float, float]] = []
            figures = _timed(lambda: after.extend(_judged(address, clip) for clip in clips))
        finally:
            server.stop()
            thread.join()
    seconds, cpu = (sum(values) for values in zip(*after, strict=True))
    return figures | {"verdict_s": figures["end_s"] - seconds, "verdict_cpu_s": figures["cpu_s"] - cpu}


def _judged(address: str, clip: ClipEntry) -> tuple[float, float]:
    """Upload a clip, wait for its verdict, then for its page; return the wall time and CPU seconds in between."""
    name = urllib.parse.quote(os.path.basename(clip.filename))
    with open(clip.path, "rb") as file:
        clip_id = _asked(address, "POST", f"/api/clips?name={name}", file)["id"]
    while not _asked(address, "GET", f"/api/clips/{clip_id}")["verdict"]:
        time.sleep(POLL_S)
    verdict_at, cpu_before = time.monotonic(), _cpu_s()
    while (row := _asked(address, "GET", f"/api/clips/{clip_id}"))["state"] != "done" or row["progress"]:
        time.sleep(POLL_S)
    return time.monotonic() - verdict_at, _cpu_s() - cpu_before


def _asked(address: str, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection(address)
    try:
        connection.request(method, path, body)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def _timed(work: Callable[[], object]) -> dict[str, float]:
    """Measure wall time, and CPU seconds of this process and its children."""
    started, cpu_before = time.monotonic(), _cpu_s()
    work()
    return {"end_s": time.monotonic() - started, "cpu_s": _cpu_s() - cpu_before}


def _cpu_s() -> float:
    process = psutil.Process()
    processes = [process, *process.children(recursive=True)]
    return float(sum(times.user + times.system for times in (each.cpu_times() for each in processes)))


if __name__ == "__main__":
    raise SystemExit(main())
