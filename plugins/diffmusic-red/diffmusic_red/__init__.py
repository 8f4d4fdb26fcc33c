"""RED, as a solver of diffmusic."""
