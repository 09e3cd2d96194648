"""``python -m deepcue`` is ``deepcue``."""

import sys

from deepcue.installation import hidden

if message := hidden():
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)

from deepcue.cli.main import program  # it imports packages that may be hidden

raise SystemExit(program())
