"""Serve a web page on this machine: drop clips on it, and see when, where and why each of them looks fake.

Prints the address of the page. The clips, the list and the pages of clips are kept in the work folder; a restarted
server resumes with the queued clips. CLIPS are files or folders to queue at the start; clips that are already in the
list are skipped. Only this machine can open the page. `--host 0.0.0.0` opens it to the network: every machine, this one
too, then needs the token of the printed address. Behind a TLS proxy, give the proxy's address with `--origin`; the
token is then required.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import re
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from deepcue import __version__
from deepcue.cli import error_boundary, flags
from ensemble.store import LOCAL_MODEL, default_model
from extract.dataset import find_clips
from extract.entries import ClipEntry
from features.errors import InputError
from features.places import as_path, url_of

EXAMPLE = "deepcue serve my_clips --work artifacts/serve"
NEEDS = ("starlette", "uvicorn")
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def n_bytes(text: str) -> int:
    """Parse a size option such as ``500M``, ``2G`` or ``1.5 GB``; raise ``ArgumentTypeError`` for anything else."""
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)b?", text.strip().lower())
    size = int(float(parts[1]) * UNITS[parts[2]]) if parts else 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write 500M or 2G")
    return size


def port(text: str) -> int:
    """Parse a port option, 0 to 65535; raise ``ArgumentTypeError`` for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; write 0 to {2**16 - 1}")
    return int(text)


def origin(text: str) -> str:
    """Parse a TLS address without a path and return it as browsers write it in ``Origin``.

    Raises
    ------
    ArgumentTypeError
        The text is not such an address.
    """
    try:
        parts = urlsplit(text.strip().removesuffix("/"))
        name, number = (parts.hostname or "").encode("idna").decode(), parts.port  # as browsers write non-ASCII names
    except ValueError:
        parts, name, number = urlsplit(""), "", None
    if parts.scheme != "https" or not name or "@" in parts.netloc or parts.path or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address with TLS and without a path; write https://name")
    name = f"[{name}]" if ":" in name else name  # an IPv6 address
    return f"https://{name}" if number in {None, 443} else f"https://{name}:{number}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser."""
    parser.add_argument("clips", metavar="CLIPS", nargs="*", help="clips or folders of clips to queue at the start")
    parser.add_argument("--port", type=port, default=8765, help="port, 0 for any free port (default: %(default)s)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)"
    )
    parser.add_argument(
        "--origin",
        type=origin,
        metavar="https://NAME",
        help="address of the page behind a TLS proxy",
    )
    parser.add_argument(
        "--token",
        action="store_true",
        help="require the token with the default host as well",
    )
    parser.add_argument(
        "--work",
        type=flags.output_folder,
        default=Path("artifacts/serve"),
        help="folder for the clips, the list and the pages (default: %(default)s)",
    )
    parser.add_argument("--model", type=Path, help="model folder (default: artifacts/model, else the shipped model)")
    parser.add_argument(
        "--max-upload", type=n_bytes, default="2G", help="largest size of a clip (default: %(default)s)"
    )
    parser.add_argument(
        "--max-disk",
        type=n_bytes,
        default="20G",
        help="largest size of all clips and pages together (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=flags.positive_int,
        default=1,
        help="clips to measure at the same time (default: %(default)s)",
    )
    parser.add_argument(  # the earlier spelling
        "--at-once", dest="jobs", type=flags.positive_int, default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )
    flags.add_limits(parser)
    flags.add_quiet(parser)


def stopped(arguments: argparse.Namespace) -> str:
    """Return the message about what a stopped server keeps."""
    return f"clips and results are kept in {arguments.work}; the same command resumes with the queued clips"


def queued(n: int, of: int) -> str:
    """Return the message about the clips that were given on the command line.

    >>> queued(3, 3), queued(0, 1)
    ('3 of 3 clips queued', '0 of 1 clip queued; the others are already in the list, or were skipped with a warning')
    """
    others = "; the others are already in the list, or were skipped with a warning" if n < of else ""
    return f"{n} of {of} {'clip' if of == 1 else 'clips'} queued{others}"


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand; see the module.

    Raises
    ------
    InputError
        The packages for the server are not installed, or an argument can't be used.
    """
    if lacking := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
        raise InputError(f"the page needs {' and '.join(lacking)}: pip install {' '.join(NEEDS)}")
    from serve.server import Options, Server

    given = [clip for path in arguments.clips for clip in _clips(path)]
    server = Server(
        Options(
            work=arguments.work,
            model=arguments.model or default_model(LOCAL_MODEL),
            host=arguments.host,
            port=arguments.port,
            token=arguments.token,
            origin=arguments.origin or "",
            max_upload=arguments.max_upload,
            max_disk=arguments.max_disk,
            jobs=arguments.jobs,
            limits=flags.limits(arguments),
            version=__version__,
        )
    )
    try:
        n_queued = server.queue(given)
    except BaseException:
        server.close()
        raise
    print(server.url, flush=True)
    if not arguments.quiet and arguments.origin:
        print(f"listening on {server.local} for the proxy", flush=True)
    if not arguments.quiet and given:
        print(queued(n_queued, len(given)), flush=True)
    ended_by = server.run()
    if ended_by == signal.SIGINT:
        raise KeyboardInterrupt
    if ended_by in {signal.SIGTERM, signal.SIGHUP}:
        with contextlib.suppress(OSError):  # the terminal has gone
            sys.stdout.flush()
        os._exit(error_boundary.DONE)  # everything is closed; an orderly interpreter exit would take seconds more


def _clips(path: str) -> list[ClipEntry]:
    """Return one file, whatever its name, or the clips of a folder or manifest.

    Raises
    ------
    InputError
        It is a URL: the page plays files of this machine only.
    """
    path = as_path(path)
    if url_of(path):
        raise InputError(f"{path}: is a URL, and the page plays files of this machine only; download the clips first")
    file = Path(path)
    if file.is_file() and file.suffix.lower() != ".csv":
        return [ClipEntry(file.name, str(file))]
    return find_clips(path)
