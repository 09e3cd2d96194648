"""The local web page: clips are dropped, queued, measured in child processes, and shown with a player."""
