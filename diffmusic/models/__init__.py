"""Loading: from what a user writes to a backbone or another component."""
