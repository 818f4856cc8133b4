"""Steps of `tools/build_free_hand.py`, which builds the hand model that twohands ships."""
