"""Many clips: supervised child processes, the engine that feeds them, the journal, and kept observations."""
