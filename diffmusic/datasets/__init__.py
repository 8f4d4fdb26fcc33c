"""The datasets that come with diffmusic: named recordings, with their stems and captions where they have any."""
