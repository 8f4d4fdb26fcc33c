"""MusicGen with melody conditioning, as an editor of diffmusic."""
