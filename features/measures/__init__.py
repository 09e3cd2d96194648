"""Measurements of faces, images and audio that cue families share; none knows a family, a column or a table."""
