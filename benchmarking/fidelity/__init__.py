"""Programs that check whether two methods give the same results."""
