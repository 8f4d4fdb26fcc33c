"""Effects of torchaudio as operators of diffmusic."""
