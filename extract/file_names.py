"""Recognise clips by their suffix, and find files whose names are spelled differently."""

from __future__ import annotations

import functools
import os
import posixpath
import unicodedata
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable

from features.places import query_of, without_query

VIDEO_SUFFIXES = frozenset(
    {".264", ".265", ".3g2", ".3gp", ".3gpp", ".asf", ".av1", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264"}
    | {".h265", ".hevc", ".insv", ".ivf", ".lrv", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mk3d"}
    | {".mkv", ".mod", ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt"}
    | {".rm", ".rmvb", ".tod", ".tp", ".trp", ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m"}
)
AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav"}
    | {".wma"}
)
"""Audio files count as clips only when named, singly or in a manifest; folders are not searched for them, since data
sets keep the audio of their clips beside them."""
CLIP_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES
TABLE_SUFFIXES = frozenset({".csv", ".parquet"})
COMPANION_SUFFIXES = AUDIO_SUFFIXES | frozenset(
    {".bmp", ".bib", ".cfg", ".csv", ".db", ".docx", ".h5", ".html", ".ini", ".ipynb", ".jpeg", ".jpg", ".json"}
    | {".jsonl", ".log", ".mat", ".md", ".md5", ".npy", ".npz", ".parquet", ".pdf", ".pickle", ".pkl", ".png", ".pt"}
    | {".pth", ".py", ".rst", ".sh", ".sha256", ".srt", ".svg", ".tif", ".tiff", ".toml", ".tsv", ".txt", ".vtt"}
    | {".webp", ".xls", ".xlsx", ".xml", ".yaml", ".yml"}
)
"""Suffixes of files that usually accompany clips and get no row or warning."""
COMPANION_NAMES = frozenset({"copying", "license", "makefile", "md5sums", "notice", "readme", "sha256sums"})
MANY_NAMESAKES = 20  # a name of more files is not specific: `video.mp4` in one folder for each clip


def base_of(name: str) -> str:
    """Return the last part of a path with forward slashes."""
    return posixpath.basename(name)


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case."""
    return posixpath.splitext(base_of(name))[1].lower()


def named_in_query(place: str) -> str:
    """Return the parameter of a URL's query that names a clip or table; empty where the path names one, or none does.

    >>> named_in_query("https://host/get?file=a.mp4&sig=5f"), named_in_query("https://host/a.mp4?thumb=b.mp4")
    ('file=a.mp4', '')
    """
    suffixes = CLIP_SUFFIXES | TABLE_SUFFIXES
    if suffix_of(without_query(place)) in suffixes:
        return ""
    parameters = reversed(query_of(place).split("&"))
    return next((parameter for parameter in parameters if suffix_of(parameter) in suffixes), "")


def name_of(place: str) -> str:
    """Return the file name of a path or URL, with no more of a query than the parameter that names the file.

    >>> name_of("https://host/a.mp4?sig=5f"), name_of("https://host/get?file=a.mp4&sig=5f")
    ('a.mp4', 'get?file=a.mp4')
    """
    name, parameter = os.path.basename(without_query(place)), named_in_query(place)
    return os.path.basename(f"{name}?{parameter}") if parameter else name


def is_video(name: str) -> bool:
    """Return whether a file in a folder is a clip, by its name."""
    return not base_of(name).startswith(".") and suffix_of(name) in VIDEO_SUFFIXES


def has_clip_suffix(name: str) -> bool:
    """Return whether a name has the suffix of a video or audio clip."""
    return suffix_of(name) in CLIP_SUFFIXES


def is_companion(name: str) -> bool:
    """Return whether a file is hidden or of a kind that usually accompanies clips."""
    base = base_of(name).lower()
    return base.startswith(".") or suffix_of(base) in COMPANION_SUFFIXES or base in COMPANION_NAMES


def form(path: str) -> str:
    """Return a path in Unicode form NFC: macOS stores accents as separate characters."""
    return unicodedata.normalize("NFC", posixpath.normpath(path))


class Names:
    """Look up file names in any Unicode form."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact = set(names)
        self._by_form = {form(name): name for name in sorted(self._exact)}

    def find(self, path: str) -> str | None:
        """Return the file that a path means; None if it does not exist."""
        path = posixpath.normpath(path)
        return path if path in self._exact else self._by_form.get(form(path))


@functools.lru_cache(maxsize=1024)  # the same name is looked up several times
def endings_of(path: str) -> tuple[str, ...]:
    """Return a path and its trailing parts, longest first, in lower case without the suffix of a clip.

    >>> endings_of("./c23/Real/000.MP4"), endings_of("000"), endings_of("..")
    (('c23/real/000', 'real/000', '000'), ('000',), ())
    """
    plain = form(path).casefold()
    suffix = suffix_of(plain)
    stem = plain.removesuffix(suffix) if suffix in CLIP_SUFFIXES else plain
    parts = [part for part in stem.split("/") if part not in {"", ".", ".."}]
    return tuple("/".join(parts[first:]) for first in range(len(parts)))


class Namesakes:
    """Find files by the end of their path, without leading folders or suffix, in any case or Unicode form.

    Parameters
    ----------
    names
        Names of the files.
    paths
        The paths that will be looked up; only their endings are indexed.
    """

    def __init__(self, names: Iterable[str], paths: Iterable[str]) -> None:
        wanted = {ending for path in paths for ending in endings_of(path)}
        self._files: dict[str, list[str]] = defaultdict(list)
        for name in sorted(names) if wanted else ():
            for ending in endings_of(name):
                if ending in wanted:
                    self._files[ending].append(name)
        self._below: dict[str, dict[str, list[str]]] = {}

    def ending_in(self, path: str) -> list[str]:
        """Return the files whose path ends in the whole of ``path``."""
        return next((self._files.get(whole, []) for whole in endings_of(path)[:1]), [])

    def below(self, folder: str, path: str) -> list[str]:
        """Return those of them below a folder; all of them for the root, which is empty."""
        files = self.ending_in(path)
        start = f"{folder}/" if folder else ""
        first, end = (
            bisect(files, start, key=lambda name: name[: len(start)]) for bisect in (bisect_left, bisect_right)
        )
        return files[first:end]

    def of(self, path: str, nearest_to: str) -> list[str]:
        """Return the files with the longest common ending with ``path``.

        Of more than :data:`MANY_NAMESAKES`, those in the folder nearest to a file are returned, or none where that
        folder also has more.
        """
        ending, files = self._found(path)
        return files if len(files) <= MANY_NAMESAKES else self._nearest(ending, nearest_to)

    def is_common(self, path: str) -> bool:
        """Return whether more than :data:`MANY_NAMESAKES` files end in the whole of ``path``."""
        return len(self.ending_in(path)) > MANY_NAMESAKES

    def _found(self, path: str) -> tuple[str, list[str]]:
        return next(((ending, self._files[ending]) for ending in endings_of(path) if ending in self._files), ("", []))

    def _nearest(self, ending: str, file: str) -> list[str]:
        if ending not in self._below:
            below = self._below[ending] = defaultdict(list)
            for name in self._files[ending]:
                for folder in _folders(name):
                    below[folder].append(name)
        files = next((self._below[ending][folder] for folder in _folders(file) if folder in self._below[ending]), [])
        return files if len(files) <= MANY_NAMESAKES else []


def _folders(name: str) -> list[str]:
    """Return the folder of a file and its parents up to the root, which is empty."""
    folders = [posixpath.dirname(name)]
    while folders[-1] not in {"", "/"}:
        folders.append(posixpath.dirname(folders[-1]))
    return folders
