"""What remote stores do that files of this machine do not: short reads, credentials in URLs, odd keys, servers down."""

import json
import logging
import traceback
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from measured_here import measure_here

from deepcue import inputs
from extract import pipeline
from extract.clip.container import source_of
from extract.dataset import find_clips
from extract.file_store import Store, folder_and_name
from extract.output_places import check_places, journal_of, write
from extract.run import worker
from features.errors import DatasetError, InputError, NotFoundError, without_credentials
from features.places import check_is_one_file, read_errors, read_to
from features.table import read_table

SECRET = "hunter2SECRET"


class DripFile(MemoryFile):
    """Hands out what has arrived, ten bytes at a time, as a streamed HTTP answer does."""

    size = 0

    def read(self, size=-1):
        return super().read(10 if size < 0 else min(size, 10))


class DripFileSystem(MemoryFileSystem):
    """In memory, with reads that are short; of a file in ``announced``, the listing gives another size."""

    protocol = "drip"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    announced: ClassVar[dict] = {}
    is_down: ClassVar[bool] = False
    cachable = False

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("drip://"))

    def _open(self, path, mode="rb", **options):
        if mode != "rb":
            return super()._open(path, mode, **options)
        if path not in self.store:
            raise FileNotFoundError(path)
        file = DripFile(self, path, self.store[path].getvalue())
        file.size = self.announced.get(path, len(self.store[path].getvalue()))
        return file

    def info(self, path, **options):
        if self.is_down:
            raise FileNotFoundError(path) from ConnectionRefusedError("no answer from port 9")
        return super().info(path, **options)


@pytest.fixture
def drip(monkeypatch):
    fsspec.register_implementation("drip", DripFileSystem, clobber=True)
    for name, value in (("store", {}), ("announced", {}), ("is_down", False), ("pseudo_dirs", [""])):
        monkeypatch.setattr(DripFileSystem, name, value)
    return DripFileSystem()


def test_a_clip_that_comes_in_pieces_is_read_whole(drip):
    drip.pipe("/set/a.mp4", bytes(range(256)))
    assert source_of("drip://set/a.mp4", {}) == bytes(range(256))
    assert Store("drip://set").read("a.mp4", 25) == bytes(range(25))
    assert Store("drip://set").read("a.mp4") == bytes(range(256))


def test_a_clip_that_ends_before_its_size_is_a_fault_of_the_network(drip, monkeypatch):
    drip.pipe("/set/a.mp4", bytes(100))
    monkeypatch.setitem(drip.announced, "/set/a.mp4", 101)
    with pytest.raises(OSError, match="only 100 of 101 bytes arrived"):
        source_of("drip://set/a.mp4", {})
    result = worker.measure("a.mp4", "drip://set/a.mp4", worker.Settings(("quality",)))
    assert (result.status, result.error) == ("crashed", "can't be read: only 100 of 101 bytes arrived")


def test_a_limited_read_takes_no_more_than_it_may(tmp_path):
    (tmp_path / "f").write_bytes(b"abcdef")
    with (tmp_path / "f").open("rb") as file:
        assert read_to(file, 4) == b"abcd"
        assert read_to(file, 0) == b""
        assert read_to(file) == b"ef"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"http://bob:{SECRET}@host/a.mp4", "http://host/a.mp4"),
        (f"URL('https://h/a?X-Amz-Signature={SECRET}'), status=403", "URL('https://h/a'), status=403"),
        (f"no (s3://b/a?x={SECRET}&y=({SECRET})z); go", "no (s3://b/a); go"),
        (f"simplecache::ftp://bob:{SECRET}@h/a b", "simplecache::ftp://h/a b"),
        (f"zip://a.mp4::http://bob:{SECRET}@h/x.zip?s={SECRET}: 404", "zip://a.mp4::http://h/x.zip: 404"),
        (f"http://h/my clip.mp4?X-Amz-Signature={SECRET}; go", "http://h/my clip.mp4; go"),
        (f"('https://h/a?{SECRET}')", "('https://h/a')"),
        (f"can't read s3://KEY:a/{SECRET}+b@bucket/c@d.mp4: 403", "can't read s3://bucket/c@d.mp4: 403"),
        (f"http://bob:a/{SECRET}?b@c@host/d", "http://host/d"),
        ("http://host:80/a@b.mp4 and http://[::1]:80/a@b.mp4", "http://host:80/a@b.mp4 and http://[::1]:80/a@b.mp4"),
        ("s3://arn:aws:s3:us:1:accesspoint/p/a@b.mp4", "s3://arn:aws:s3:us:1:accesspoint/p/a@b.mp4"),
        ("zip://a.mp4::s3://b/c@d.zip", "zip://a.mp4::s3://b/c@d.zip"),
        (f"{Path(f'https://bob:{SECRET}@host/a?{SECRET}')}: no such file", "https:/host/a: no such file"),
        ("https://host?email=a@b.c", "https://host"),
        ("memory://a/what?.mp4: no such file", "memory://a/what?.mp4: no such file"),
        ("memory://a/take?1/me@home.mp4", "memory://a/take?1/me@home.mp4"),
        ("s3://bucket/a@b.mp4: bob@host has no URL?", "s3://bucket/a@b.mp4: bob@host has no URL?"),
    ],
)
def test_credentials_are_taken_out_of_urls(text, shown):
    assert without_credentials(text) == shown


@pytest.mark.parametrize("run", ["a", "?", "a?", ")", "?a=", "@", ":", "?a=)", "a://", "a://b:", "http://", "a."])
def test_a_text_of_any_length_is_cleaned(run):
    """A pattern that is quadratic in the length would need minutes."""
    long = run * (200_000 // len(run))
    for text in (f"http://bob:{SECRET}@host/a {long}", f"{long} http://bob:{SECRET}@host/a", f"{long}x http://"):
        assert SECRET not in without_credentials(text)


def test_no_message_row_or_journal_shows_a_password(tmp_path, monkeypatch, caplog):
    url = f"http://bob:{SECRET}@host"
    with pytest.raises(DatasetError) as told, read_errors(f"{url}/a?x={SECRET}"):
        raise OSError(f"403 at {url}/a?x={SECRET}")
    assert SECRET not in str(told.value)
    measure_here(monkeypatch)
    clips = inputs.listed_clips([f"{url}/gone.mp4?x={SECRET}", f"{url}/other/gone.mp4"])
    monkeypatch.setattr(pipeline, "_fingerprint", lambda *_: "absent")
    monkeypatch.setattr(worker, "_observed", _refuse)
    table = pipeline.extract(clips, out=tmp_path / "t.parquet", families=["quality"])
    assert table["status"].to_pylist() == ["crashed", "crashed"]
    assert SECRET not in json.dumps(table.to_pylist()) + caplog.text
    assert not [file for file in tmp_path.iterdir() if SECRET.encode() in file.read_bytes()]
    assert SECRET not in journal_of(f"{url}/t.parquet?x={SECRET}")


def test_of_a_server_that_does_not_answer_the_message_says_so():
    """Non-regression test: of a URL with a query, fsspec asked for `expand=True`."""
    with (
        pytest.raises(DatasetError, match=r"http://host/a: can't be read \(no answer\)"),
        read_errors("http://host/a?b=c"),
    ):
        raise FileNotFoundError("expand=True") from ConnectionRefusedError("no answer")


@pytest.mark.parametrize("url", [f"s3://KEY:{SECRET}@bucket/d", f"simplecache::s3://KEY:a/{SECRET}@bucket/d"])
def test_keys_in_an_s3_url_are_refused_and_not_shown(url):
    """Non-regression test: botocore repeated them as the name of the bucket, which showed the secret."""
    for use in (find_clips, inputs.check_is_there, read_table, lambda url: check_places(url, "", None, {})):
        with pytest.raises(InputError, match="keys in an S3 URL are not read; set AWS_ACCESS_KEY_ID") as caught:
            use(url)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    result = worker.measure("a.mp4", f"{url}/a.mp4", worker.Settings(("quality",)))
    assert "keys in an S3 URL" in result.error
    assert SECRET not in repr(result)


@pytest.mark.parametrize("url", [f"drip://bob:{SECRET}@host/a.mp4", f"drip://host/a.mp4?sig={SECRET}"])
def test_no_traceback_shows_a_password(url, drip, monkeypatch):
    for is_down in (False, True):
        monkeypatch.setattr(DripFileSystem, "is_down", is_down)
        with pytest.raises(DatasetError) as caught:
            inputs.check_is_there(url)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(DatasetError) as caught:
        write(None, url, {}, journal="j")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_the_traceback_of_a_plain_url_shows_the_cause(drip):
    with pytest.raises(NotFoundError) as caught:
        inputs.check_is_there("drip://host/a.mp4")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_no_warning_shows_a_password(drip, caplog):
    url = f"drip://bob:{SECRET}@host/d"
    entries = {
        "gone.mp4": {"original": "q.mp4"},
        "b.mp4": {"label": "FAKE", "original": "zz.mp4"},
        "c.mp4": {"label": "FAKE", "original": "twice"},
        "deep.mp4": {"label": "REAL"},
    }
    names = ("b.mp4", "c.mp4", "x/twice.mp4", "y/twice.mp4", "y/deep.mp4", "notes.xyz")
    drip.pipe({f"/{url.removeprefix('drip://')}/{name}": b"x" for name in names})
    for labelled in (entries, {"b.mp4": {}}, {"y/deep.mp4": {}, "lost/b.mp4": {}}):
        drip.pipe(f"/{url.removeprefix('drip://')}/metadata.json", json.dumps(labelled).encode())
        with caplog.at_level(logging.INFO):
            find_clips(url)
    assert "metadata names" in caplog.text
    assert "originals of 2 of 2" in caplog.text or "originals of 1 of 2" in caplog.text
    assert SECRET not in caplog.text


def _refuse(_name, path, *_):
    raise OSError(f"can't connect to {path}")


def test_clips_that_only_a_query_tells_apart_are_refused():
    with pytest.raises(DatasetError, match=r"http://host/download: 2 clips of the list would have this name"):
        inputs.listed_clips(["http://host/download?id=1", "http://host/download?id=2"])


def test_a_key_with_two_colons_has_its_row(drip, monkeypatch):
    measure_here(monkeypatch)
    drip.pipe({"/set/a::b.mp4": b"no video", "/set/c.mp4": b"no video"})
    table = pipeline.extract("drip://set", families=["quality"])
    rows = {row["filename"]: row for row in table.to_pylist()}
    assert rows["a::b.mp4"]["status"] == "crashed"
    assert ":: in its name is taken for one store inside another; rename it" in rows["a::b.mp4"]["error"]
    assert rows["c.mp4"]["status"] == "unreadable"


def test_chains_of_urls_are_one_file():
    for url in ("s3://b/a.mp4", "simplecache::s3://b/a.mp4", "zip://a.mp4::/x/b.zip", "zip://a.mp4::s3://b/c.zip"):
        check_is_one_file(url)
    for cache in ("simplecache", "filecache", "blockcache"):
        check_is_one_file(f"zip://a.mp4::{cache}::http://h/c.zip")
    with pytest.raises(OSError, match="rename it"):
        check_is_one_file("s3://b/a::b.mp4")


def test_a_presigned_url_is_a_clip_by_its_name_without_the_query(monkeypatch):
    url = f"https://host/clips/rec.ts?token=a/{SECRET}/"
    monkeypatch.setattr(Store, "is_file", lambda _: True)
    assert [(clip.filename, clip.path) for clip in find_clips(url)] == [("rec.ts", url)]
    assert inputs.is_clip(url)
    assert inputs.clip_name(url) == "rec.ts"
    assert folder_and_name(url) == ("https://host/clips", f"rec.ts?token=a/{SECRET}/")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/get?file=a.mp4", "get?file=a.mp4"),
        (f"http://h/get?file=a.mp4&X-Sig={SECRET}", "get?file=a.mp4"),
        (f"http://h/get?X-Sig={SECRET}&file=a.mp4", "get?file=a.mp4"),
        (f"http://h/get.php?file=x/a.mp4&X-Sig={SECRET}", "a.mp4"),
        (f"simplecache::http://h/a.mp4?X-Sig={SECRET}", "a.mp4"),
        (f"simplecache::http://h/a.mp4?X-Sig={SECRET}&thumb=b.mp4", "a.mp4"),
        ("drip://a/what?.mp4", "what?.mp4"),
    ],
)
def test_a_query_names_a_clip_only_where_the_path_does_not(url, name, drip, monkeypatch):
    monkeypatch.setattr(Store, "is_file", lambda _: True)
    (clip,) = find_clips(url)
    assert (clip.filename, clip.group, clip.path) == (name, name, url)
    assert inputs.is_clip(url)
    (clip,) = inputs.listed_clips([url])
    assert (clip.filename, clip.group, clip.path) == (name, name, url)


def test_a_query_may_name_a_table_or_a_manifest():
    assert inputs.is_table("http://h/get?file=t.parquet")
    assert not inputs.is_table("http://h/a.mp4?file=t.parquet")
    assert not inputs.is_clip("http://h/labels.csv?thumb=a.mp4")


def test_clips_of_one_name_get_the_rest_of_their_urls():
    urls = ["http://h/x/get?file=a.mp4", "http://h/y/get?file=a.mp4", f"http://h/y/get?file=b.mp4&sig={SECRET}"]
    names = [clip.filename for clip in inputs.listed_clips(urls)]
    assert names == ["http://h/x/get?file=a.mp4", "http://h/y/get?file=a.mp4", "http://h/y/get?file=b.mp4"]
    keys = ["drip://a/take?1/x.mp4", "drip://a/take?2/x.mp4"]
    assert [clip.filename for clip in inputs.listed_clips(keys)] == keys


def test_a_server_that_is_down_is_no_empty_folder(drip, monkeypatch):
    monkeypatch.setattr(DripFileSystem, "is_down", True)
    for read in (find_clips, inputs.check_is_there):
        with pytest.raises(DatasetError, match="no answer from port 9") as told:
            read("drip://set/a.mp4")
        assert not isinstance(told.value, NotFoundError)
    monkeypatch.setattr(DripFileSystem, "is_down", False)
    for read in (find_clips, inputs.check_is_there):
        with pytest.raises(NotFoundError, match="no such file; give a clip or a folder of clips"):
            read("drip://set/a.mp4")


def test_a_refused_table_gets_advice_for_the_place_that_it_was_for(drip, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("refused")

    monkeypatch.setattr("features.table.write_table", refuse)
    with pytest.raises(InputError, match="check the store and your right to write there and run again"):
        write(None, "drip://set/t.parquet", {}, journal="j")
    with pytest.raises(InputError, match="free space and run again"):
        write(None, str(tmp_path / "t.parquet"), {}, journal="j")
