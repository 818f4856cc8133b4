"""Recordings and cameras that yield frames."""
