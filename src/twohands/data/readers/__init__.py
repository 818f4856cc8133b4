"""Readers of public data sets: one module each, for a user's own copy. The package contains no data set."""
