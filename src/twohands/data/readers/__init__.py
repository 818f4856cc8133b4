"""Readers of public data sets: one file a set, each from a user's own copy. Nothing of the sets is in this package."""
