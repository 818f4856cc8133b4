"""Floor 3: differentiable functions of torch tensors, without parameters."""
