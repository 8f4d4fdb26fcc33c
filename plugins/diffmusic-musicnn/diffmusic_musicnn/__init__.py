"""musicnn's taggers as judges of diffmusic."""
