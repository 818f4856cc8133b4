"""Floor 4: recordings and cameras that yield frames."""
