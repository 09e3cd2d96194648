"""``python extract/extract_all.py DATA --out FILE`` is ``deepcue extract DATA --out FILE``."""

import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: the packages are beside this folder
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deepcue.cli.main import main as run_command


def main() -> int:
    """Run ``deepcue extract`` with this process's arguments."""
    return run_command(["extract", *sys.argv[1:]])


if __name__ == "__main__":
    raise SystemExit(main())
