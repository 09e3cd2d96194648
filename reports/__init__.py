"""Pages: of a trained model, of a clip, of the catalogue of cues; they measure nothing."""
