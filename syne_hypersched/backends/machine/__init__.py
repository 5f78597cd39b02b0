"""The devices of this machine: discovery, locks, and the environment in which a process finds them."""
