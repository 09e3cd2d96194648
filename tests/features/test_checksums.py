"""SHA-256 of files, and that there is one function for it."""

import re
from pathlib import Path

from features.checksums import sha256_of

ROOT = Path(__file__).resolve().parents[2]
HASHED = re.compile(r"file_digest|sha256\(.*read_bytes")
FOLDERS = ("features", "extract", "ensemble", "forge", "reports", "serve", "deepcue", "benchmarks", "training")


def test_known_answers(tmp_path):
    """Of NIST's examples (FIPS 180-2, appendix B.1 and B.3)."""
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    assert sha256_of(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file.write_bytes(b"a" * 1_000_000)
    assert sha256_of(file) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


def test_files_are_hashed_in_one_place():
    users = [
        str(file.relative_to(ROOT))
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*.py"))
        if HASHED.search(file.read_text(encoding="utf-8"))
    ]
    assert users == ["features/checksums.py"]
