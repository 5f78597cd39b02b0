"""What an experiment leaves on disk: its folder, its events and its journal, as they are read."""
