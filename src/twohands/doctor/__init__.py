"""The doctor of recordings: what is wrong with one, and what to do; see `examination.examine`."""
