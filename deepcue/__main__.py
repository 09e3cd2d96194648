"""``python -m deepcue`` is ``deepcue``."""

from deepcue.cli.main import program

raise SystemExit(program())
