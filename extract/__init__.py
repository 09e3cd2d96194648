"""From files to a table: finding clips, decoding, faces, observations, the engine and the journal."""

VERSION = 3  # of what an Observation holds for a given clip; kept observations of another version are made anew
