"""RED-diff, as a solver of diffmusic."""
