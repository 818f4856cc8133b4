"""Differentiable functions of torch tensors, without parameters."""
