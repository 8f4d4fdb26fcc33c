"""How the mini prior was made: its corpus, its networks and their training."""
