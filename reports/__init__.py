"""Pages about a trained model, a clip, the catalogue of cues; nothing is measured here."""
