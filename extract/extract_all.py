"""From a data set to a feature table.

    python extract/extract_all.py DATA --out features.parquet --jobs 2

DATA is a folder in the challenge's layout, a plain folder of clips, a CSV manifest, or a URL of one of these.
Run it again after an interruption and only the missing clips are measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file: the packages are beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from tqdm import tqdm

from extract import VERSION, engine, worker
from extract.dataset import Clip, find_clips
from extract.journal import Journal
from extract.keep import Keeper
from extract.sandbox import Limits
from features import spec, table
from features.errors import DatasetError, InputError
from features.weights import own_weights

TIMEOUT_S = 300.0  # CPU seconds; fifty times what a ten-second clip at 1080p takes
MEMORY_MB = 2048.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    one = argparse.ArgumentParser(
        prog="extract_all.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    one.add_argument("data", metavar="DATA", help="folder, CSV manifest, or URL (file://, s3://, ...)")
    one.add_argument("--out", required=True, help="feature table to write (Parquet), a path or a URL")
    one.add_argument("--observations", default="", help="keep observations here; later runs measure from them")
    one.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    one.add_argument("--families", default="", help="comma-separated cue families (default: all)")
    start = one.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="measure only what is missing (the default)")
    start.add_argument("--fresh", action="store_true", help="measure every clip again")
    one.add_argument("--timeout", type=float, default=TIMEOUT_S, help="CPU seconds a clip may take (%(default)g)")
    one.add_argument("--max-memory", type=float, default=MEMORY_MB, help="MB a process may take (%(default)g)")
    one.add_argument("--max-seconds", type=float, default=worker.MAX_SECONDS, help="of each clip (%(default)g)")
    one.add_argument("--scheduler", default="", help="address of a Dask scheduler, tcp://host:8786")
    one.add_argument("--endpoint-url", default="", help="S3 endpoint, for instance of IBM Cloud Object Storage")
    one.add_argument("--journal", default="", help="where finished clips are noted (default: beside --out)")
    one.add_argument("--quiet", action="store_true", help="no progress bar")
    one.add_argument("--json", action="store_true", help="print the summary as JSON")
    return one


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 the user's input can't be used."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    arguments = parser().parse_args(argv)
    try:
        summary = extract(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to go on", file=sys.stderr)
        return 128 + signal.SIGINT
    _report(summary, as_json=arguments.json)
    return 0


def extract(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure what is missing and write the table; returns the summary that the command prints.

    Raises
    ------
    InputError
        The data set, an option or an output can't be used.
    """
    options = {"endpoint_url": arguments.endpoint_url} if arguments.endpoint_url else {}
    families = _families(arguments.families)
    _check_numbers(arguments)
    _check_folder(arguments.observations)
    clips = find_clips(arguments.data, options)
    settings = worker.Settings(
        families=tuple(one.name for one in families),
        max_seconds=arguments.max_seconds,
        observations=_absolute(arguments.observations),
        storage_options=options,
    )
    identity: dict[str, Any] = {
        "extractor": VERSION,
        "families": {one.name: one.version for one in families},
        "max_seconds": arguments.max_seconds,
    }
    if own := own_weights([one.name for one in families]):
        identity["weights"] = own
    journal = Journal(_journal_file(arguments), identity, fresh=arguments.fresh)
    try:
        results = _measure(clips, settings, journal, arguments)
    finally:
        journal.close()
    schema = table.schema(families, extractor=str(VERSION))
    built = table.build(*_columns(clips, results), schema)
    _write(built, arguments.out, options)
    counts = Counter(result.status for result in results.values())
    return {"table": arguments.out, "clips": len(clips), "columns": len(schema.names), "status": dict(counts)}


def _families(names: str) -> tuple[spec.Family, ...]:
    try:
        return spec.families([name.strip() for name in names.split(",") if name.strip()] or None)
    except KeyError as error:
        raise InputError(f"--families {names}: {error.args[0]}") from error


def _check_numbers(arguments: argparse.Namespace) -> None:
    for name in ("jobs", "timeout", "max_memory", "max_seconds"):
        if not getattr(arguments, name) > 0:
            option = name.replace("_", "-")
            raise InputError(f"--{option} {getattr(arguments, name)}: must be above 0")


def _check_folder(observations: str) -> None:
    """Refuse, before hours of work, a local folder in which nothing can be kept."""
    if not observations or "://" in observations:
        return
    try:
        Path(observations).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=observations):
            pass
    except OSError as error:
        raise InputError(f"--observations {observations}: nothing can be kept there ({error})") from error


def _absolute(path: str) -> str:
    return path if not path or "://" in path else os.path.abspath(path)


def _journal_file(arguments: argparse.Namespace) -> Path:
    if arguments.journal:
        return Path(arguments.journal)
    out = arguments.out if "://" not in arguments.out else arguments.out.split("://", 1)[1].replace("/", "_")
    return Path(f"{out}.journal")


def _measure(
    clips: list[Clip], settings: worker.Settings, journal: Journal, arguments: argparse.Namespace
) -> dict[str, worker.Result]:
    prints = {clip.filename: _fingerprint(clip, settings) for clip in clips}
    known = ((clip.filename, journal.get(clip.filename, prints[clip.filename])) for clip in clips)
    results = {
        filename: result
        for filename, result in known
        if result is not None and not (settings.observations and worker.NOT_KEPT in result.error)
    }
    waiting = [clip for clip in clips if clip.filename not in results]
    limits = Limits(timeout_s=arguments.timeout, memory_mb=arguments.max_memory)
    stream = engine.run(waiting, settings, limits, jobs=arguments.jobs, scheduler=arguments.scheduler)
    bar = tqdm(total=len(clips), initial=len(results), unit="clip", smoothing=0.05, disable=arguments.quiet)
    troubled = 0
    try:
        for result in stream:
            results[result.filename] = result
            journal.add(result, prints[result.filename])
            troubled += result.status in {"unreadable", "crashed", "timeout"}
            bar.update()
            bar.set_postfix_str(f"{troubled} failed" if troubled else "", refresh=False)
    finally:
        stream.close()
        bar.close()
    return results


def _fingerprint(clip: Clip, settings: worker.Settings) -> str:
    try:
        return Keeper("", settings.storage_options).key(clip.path, settings.max_seconds)
    except OSError:
        return "absent"  # the worker's row will say so


def _columns(clips: list[Clip], results: dict[str, worker.Result]) -> tuple[dict[str, list[Any]], np.ndarray]:
    """Base columns and values of every clip; labels and groups as the data set says now."""
    ordered = [results[clip.filename] for clip in clips]
    base: dict[str, list[Any]] = {
        name: [getattr(clip, name) for clip in clips] for name in ("filename", "label", "group", "source")
    }
    base |= {
        name: [getattr(result, name) for result in ordered]
        for name in ("status", "error", "duration_s", "n_frames", "n_faces")
    }
    return base, np.stack([result.values for result in ordered])


def _write(built: Any, out: str, options: dict[str, Any]) -> None:
    try:
        if "://" in out:
            import fsspec

            with fsspec.open(out, "wb", **options) as file:
                table.write_table(built, file)
            return
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        temporary = f"{out}.part"
        table.write_table(built, temporary)
        os.replace(temporary, out)
    except OSError as error:
        raise DatasetError(f"{out}: can't be written ({error}); give another --out, what is done is kept") from error


def _report(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    states = ", ".join(f"{count} {status}" for status, count in sorted(summary["status"].items()))
    print(f"{summary['table']}: {summary['clips']} clips, {summary['columns']} columns ({states})")


if __name__ == "__main__":
    raise SystemExit(main())
