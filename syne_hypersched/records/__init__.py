"""Readers of the files of an experiment: its folder, its events and its journal."""
