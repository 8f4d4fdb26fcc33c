"""Onset and note F1 of restored music, as metrics of diffmusic."""
