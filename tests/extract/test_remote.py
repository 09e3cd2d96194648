"""What remote stores do that files of this machine do not: short reads, credentials in URLs, odd keys, servers down."""

import json
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
from extract.output_places import journal_of, write
from extract.run import worker
from features.errors import DatasetError, InputError, NotFoundError, without_credentials
from features.places import check_is_one_file, read_errors, read_to

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
        ("s3://bucket/a@b.mp4: bob@host has no URL?", "s3://bucket/a@b.mp4: bob@host has no URL?"),
    ],
)
def test_credentials_are_taken_out_of_urls(text, shown):
    assert without_credentials(text) == shown


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
    with pytest.raises(OSError, match="rename it"):
        check_is_one_file("s3://b/a::b.mp4")


def test_a_presigned_url_is_a_clip_by_its_name_without_the_query(monkeypatch):
    url = f"https://host/clips/rec.ts?token=a/{SECRET}/"
    monkeypatch.setattr(Store, "is_file", lambda _: True)
    assert [(clip.filename, clip.path) for clip in find_clips(url)] == [("rec.ts", url)]
    assert inputs.is_clip(url)
    assert inputs.clip_name(url) == "rec.ts"
    assert folder_and_name(url) == ("https://host/clips", f"rec.ts?token=a/{SECRET}/")


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
