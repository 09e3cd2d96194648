"""What a notebook calls: from a clip to cues, from a folder to a table, from a table to a model and predictions."""

from __future__ import annotations
