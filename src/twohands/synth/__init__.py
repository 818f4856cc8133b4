"""The data engine renders RGB-D frames of two hands with ground truth, pure functions of (split, seed, index).

`engine.SyntheticHands` is the data set, `shards.write_shards` stores it, and `splits` names the frames kept for tests.
The engine needs numba (`pip install twohands[synth]`).
"""
