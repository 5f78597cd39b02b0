"""Training loops of other frameworks as elastic trials: one module for each, imported only by training scripts."""
