"""Pure decisions of HyperSched: devices of each trial, speed-up by more devices, and what the deadline permits."""
