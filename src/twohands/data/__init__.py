"""Floor 5: data sets, checks and preparation of frames."""
