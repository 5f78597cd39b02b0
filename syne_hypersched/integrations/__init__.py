"""Other people's training loops as elastic trials: one module for each framework, imported only by training scripts."""
