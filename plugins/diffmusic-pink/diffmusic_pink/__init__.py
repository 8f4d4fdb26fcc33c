"""Pink noise as a prior: the smallest backbone of diffmusic."""
