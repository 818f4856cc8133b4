"""Data sets, checks and preparation of frames."""
