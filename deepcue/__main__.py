"""``python -m deepcue`` is ``deepcue``."""

from deepcue.cli.main import main

raise SystemExit(main())
