"""The workloads in bare PyTorch: training loops as a user would write them by hand.

``build(letter)`` returns an object that answers to the few methods which ``worker.py`` calls. RMSprop is
written out, since PyTorch's own puts its epsilon outside the square root; Adam is PyTorch's, whose epsilon
counts for less in the first steps.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch_models import MODELS, set_weights
from workloads import ALL


# ---- training -------------------------------------------------------------------------------------------
class RMSprop(torch.optim.Optimizer):
    """RMSprop with Keras's formula, w -= rate g / sqrt(v + epsilon), in as many operations as PyTorch's."""

    def __init__(self, parameters, rate: float):
        super().__init__(parameters, {"lr": rate})

    @torch.no_grad()
    def step(self):
        """Update the parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["v"] = torch.zeros_like(p)
                v = state["v"].mul_(0.9).addcmul_(p.grad, p.grad, value=0.1)
                p.addcdiv_(p.grad, v.add(1e-7).sqrt_(), value=-group["lr"])


def _optimizer(letter: str, parameters):
    if "RMSprop" not in ALL[letter].title:
        return torch.optim.Adam(parameters, lr=1e-3, eps=1e-7)
    return RMSprop(parameters, 1e-4 if letter == "f" else 1e-3)


KINDS = {"yes or no": "cghmo", "number": "d", "pixels": "ln"}  # what is predicted; elsewhere a class
TASKS = {  # loss of what the model returns, sum of the metric over a batch, what Keras' model returns
    "yes or no": (nn.BCEWithLogitsLoss(), lambda out, y: ((out > 0) == (y > 0.5)).sum(), torch.sigmoid),
    "number": (nn.MSELoss(), lambda out, y: (out - y).abs().sum(), lambda out: out),
    "pixels": (nn.BCEWithLogitsLoss(), lambda out, y: (torch.sigmoid(out) - y).abs().mean() * len(y),
               lambda out: torch.sigmoid(out).movedim(-3, -1)),
    "classes": (nn.CrossEntropyLoss(), lambda out, y: (out.argmax(1) == y).sum(),
                lambda out: out.softmax(1)),
}


class Trainer:
    """A model with the loops of ``fit``, ``evaluate`` and ``predict``, written as PyTorch's tutorials do.

    Parameters
    ----------
    letter : str
        Name of the workload.
    device : str
        PyTorch's name of where to compute; data is moved there once, at the start of each call.
    """

    def __init__(self, letter: str, device: str = "cpu"):
        self.batch, self.device = ALL[letter].batch, device
        self.model = MODELS[letter]().to(device)
        self.optimizer = _optimizer(letter, [p for p in self.model.parameters() if p.requires_grad])
        kind = next((kind for kind, letters in KINDS.items() if letter in letters), "classes")
        self.loss, self.hits, self.outcome = TASKS[kind]

    def set_weights(self, weights: dict[str, list[np.ndarray]]) -> None:
        """Take the weights of the Keras model."""
        set_weights(self.model, weights)

    def _tensors(self, *arrays):
        """Return tensors, images with their channels first."""
        found = (torch.from_numpy(v).to(self.device) for v in arrays)
        return tuple(v.movedim(-1, -3).contiguous() if v.ndim > 3 else v for v in found)

    def _step(self, x, y):
        self.optimizer.zero_grad()
        out = self.model(x)
        loss = self.loss(out, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach() * len(x), self.hits(out.detach(), y)

    def fit(self, x, y, batch_size, epochs, verbose=0, shuffle=True):
        """Train; return what Keras's ``fit`` returns, as far as it is looked at here."""
        x, y = self._tensors(x, y)
        self.model.train()
        losses = []
        for _ in range(epochs):
            order = torch.randperm(len(x), device=self.device) if shuffle else None
            total = torch.zeros(2, device=self.device)
            for start in range(0, len(x), batch_size):
                part = slice(start, start + batch_size)
                part = part if order is None else order[part]
                total += torch.stack(self._step(x[part], y[part]))
            losses.append(total[0].item() / len(x))
        return SimpleNamespace(history={"loss": losses})

    def train_on_batch(self, x, y):
        """Train one step; return loss and metric."""
        self.model.train()
        loss, hits = self._step(*self._tensors(x, y))
        return loss.item() / len(x), hits.item() / len(x)

    @torch.inference_mode()
    def evaluate(self, x, y, batch_size=32, verbose=0):
        """Return loss and metric."""
        x, y = self._tensors(x, y)
        self.model.eval()
        total = torch.zeros(2, device=self.device)
        for start in range(0, len(x), batch_size):
            part, truth = x[start : start + batch_size], y[start : start + batch_size]
            out = self.model(part)
            total += torch.stack((self.loss(out, truth) * len(part), self.hits(out, truth)))
        return [v / len(x) for v in total.tolist()]

    @torch.inference_mode()
    def predict(self, x, batch_size=32, verbose=0):
        """Return the outcome of the model as an array."""
        (x,) = self._tensors(x)
        self.model.eval()
        parts = [self.outcome(self.model(x[i : i + batch_size])) for i in range(0, len(x), batch_size)]
        return torch.cat(parts).cpu().numpy()


def build(letter: str, device: str = "cpu") -> Trainer:
    """Return the workload called ``letter``."""
    return Trainer(letter, device)
