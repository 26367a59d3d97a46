"""Differentiable functions on tensors (``keras.ops``)."""
