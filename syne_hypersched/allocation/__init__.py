"""Pure decisions of HyperSched: who holds how many devices, what a device is worth, what the deadline permits."""
