"""Arrays in, arrays out: restoring, editing, fusing."""
