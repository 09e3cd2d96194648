"""One module for each family of cues: the list of these files is the list of families."""
