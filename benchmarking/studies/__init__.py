"""Programs that compare schedulers on tables of learning curves and in real training."""
