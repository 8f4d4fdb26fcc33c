"""Clipping as an operator of diffmusic, and the consistent way to undo it."""
