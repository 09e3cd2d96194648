"""From files to a table: finding clips, decoding, faces, observations, the engine and the journal."""
