"""Models: Sequential, functional and subclassed, with one training loop."""

from .model import Functional, Model
from .sequential import Sequential

__all__ = ["Functional", "Model", "Sequential"]
