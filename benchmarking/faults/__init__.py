"""Programs that make processes, disks and tuners fail, and check that nothing is lost."""
