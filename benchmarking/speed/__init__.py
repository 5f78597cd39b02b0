"""Programs that measure what the schedulers, the backends and the training helpers cost."""
