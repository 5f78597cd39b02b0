"""Optimisers of other packages as opponents, driven by ask and tell on the tables and the clock of the others."""
