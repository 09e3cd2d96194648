"""``python extract/extract_all.py DATA --out FILE`` is ``deepcue extract DATA --out FILE``."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # the packages are beside this folder
    sys.argv.insert(1, "extract")
    runpy.run_module("deepcue", run_name="__main__", alter_sys=True)
