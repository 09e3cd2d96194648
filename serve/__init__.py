"""A page on one's own machine: clips are dropped, queued, measured in child processes, and shown with a player."""
