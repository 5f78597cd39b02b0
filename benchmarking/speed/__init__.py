"""Programs that measure the cost of the schedulers, the backends and the training helpers."""
