"""The data engine: RGB-D frames of two hands with their truth, each a pure function of (split, seed, index).

`engine.SyntheticHands` is the data set, `shards.write_shards` stores it, `splits` names the frames kept for tests.
Needs numba (`pip install twohands[synth]`).
"""
