"""Cameras, rotations, meshes and clouds, on NumPy arrays and torch tensors alike."""
