"""Reading, writing, resampling and cutting audio."""
