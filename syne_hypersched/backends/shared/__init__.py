"""What every elastic backend is made of, written once."""
