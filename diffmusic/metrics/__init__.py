"""The metrics that come with diffmusic: callables ``(reference, estimate, sample_rate) -> float``."""
