"""What is shipped (``pretrained/``) and where the make targets write; the folder knows its own path."""

from pathlib import Path

PRETRAINED = Path(__file__).resolve().parent / "pretrained"
