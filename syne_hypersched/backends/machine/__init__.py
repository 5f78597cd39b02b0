"""The devices of this machine: which there are, who has taken them, and what a process sees of them."""
