"""Readers of public data sets: one file per data set, which reads a user's own copy. The package contains none of them."""
