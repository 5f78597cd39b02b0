"""Programs that check whether two ways of doing the same thing give the same."""
