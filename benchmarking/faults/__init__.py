"""Programs that make processes, disks and tuners fail, and check what remains."""
