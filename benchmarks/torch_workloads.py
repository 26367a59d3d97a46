"""The ten workloads in bare PyTorch: models and loops as a user would write them by hand.

``build(letter)`` returns an object that answers to the few methods which ``worker.py`` calls. Layers have the
names of the Keras models, whose weights are translated. RMSprop is written out, since PyTorch's own puts its
epsilon outside the square root; Adam is PyTorch's, whose epsilon counts for less in the first steps.
"""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from workloads import ALL, WORDS


# ---- models ---------------------------------------------------------------------------------------------
class Mean(nn.Module):
    """Average over the words of a text."""

    def forward(self, x):
        return x.mean(1)


class Last(nn.Module):
    """Output of the last time step of an LSTM."""

    def forward(self, x):
        return x[0][:, -1]


class Swap(nn.Module):
    """(N, T, C) to (N, C, T), as convolutions want it."""

    def forward(self, x):
        return x.transpose(1, 2)


def _layers(**layers) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def _mlp(*units) -> nn.Sequential:
    names = ["hidden"] if len(units) == 3 else [f"hidden{i + 1}" for i in range(len(units) - 2)]
    layers = OrderedDict()
    for name, before, after in zip(names, units, units[1:]):
        layers[name], layers[f"{name}_relu"] = nn.Linear(before, after), nn.ReLU()
    layers["out"] = nn.Linear(units[-2], units[-1])
    return nn.Sequential(layers)


def _convnet_digits() -> nn.Sequential:
    return _layers(
        conv1=nn.Conv2d(1, 32, 3), relu1=nn.ReLU(), conv2=nn.Conv2d(32, 64, 3), relu2=nn.ReLU(),
        pool=nn.MaxPool2d(2), flatten=nn.Flatten(),
        hidden=nn.Linear(64 * 12 * 12, 128), relu3=nn.ReLU(), out=nn.Linear(128, 10),
    )


def _convnet_pictures() -> nn.Sequential:
    return _layers(
        conv1=nn.Conv2d(3, 32, 3, padding=1), relu1=nn.ReLU(), conv2=nn.Conv2d(32, 32, 3), relu2=nn.ReLU(),
        pool1=nn.MaxPool2d(2), conv3=nn.Conv2d(32, 64, 3, padding=1), relu3=nn.ReLU(),
        conv4=nn.Conv2d(64, 64, 3), relu4=nn.ReLU(), pool2=nn.MaxPool2d(2), flatten=nn.Flatten(),
        hidden=nn.Linear(64 * 6 * 6, 512), relu5=nn.ReLU(), out=nn.Linear(512, 10),
    )


def _lstm_reviews() -> nn.Sequential:
    lstm = nn.LSTM(128, 128, batch_first=True)
    nn.init.zeros_(lstm.bias_hh_l0)
    lstm.bias_hh_l0.requires_grad_(False)  # Keras has one bias
    return _layers(words=nn.Embedding(WORDS, 128), lstm=lstm, last=Last(), out=nn.Linear(128, 1))


def _average_reviews() -> nn.Sequential:
    return _layers(words=nn.Embedding(WORDS, 64), mean=Mean(), hidden=nn.Linear(64, 16), relu=nn.ReLU(),
                   out=nn.Linear(16, 1))


def _convnet_news() -> nn.Sequential:
    return _layers(
        words=nn.Embedding(WORDS, 128), swap=Swap(), conv1=nn.Conv1d(128, 128, 5), relu1=nn.ReLU(),
        pool1=nn.MaxPool1d(5), conv2=nn.Conv1d(128, 128, 5), relu2=nn.ReLU(), pool2=nn.AdaptiveMaxPool1d(1),
        flatten=nn.Flatten(), hidden=nn.Linear(128, 128), relu3=nn.ReLU(), out=nn.Linear(128, 20),
    )


class Residual(nn.Module):
    """The model of (j)."""

    def __init__(self):
        super().__init__()
        for i in range(5):
            self.add_module(f"conv{i}", nn.Conv2d(64 if i else 3, 64, 3, padding=1, bias=False))
            self.add_module(f"norm{i}", nn.BatchNorm2d(64, eps=1e-3, momentum=0.01))
        self.out = nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.norm0(self.conv0(x)))
        y = torch.relu(self.norm1(self.conv1(x)))
        x = torch.relu(x + self.norm2(self.conv2(y)))
        y = torch.relu(self.norm3(self.conv3(x)))
        x = torch.relu(x + self.norm4(self.conv4(y)))
        return self.out(x.mean((2, 3)))


class Bottlenecks(nn.Module):
    """The model of a block; its layers have the names of the Keras model's."""

    def __init__(self, width: int):
        super().__init__()
        for number, before in ((1, width), (2, 4 * width)):
            sizes = {"a": (before, width, 1), "b": (width, width, 3), "c": (width, 4 * width, 1)}
            if number == 1:
                sizes["d"] = (before, 4 * width, 1)
            for letter, (channels, filters, window) in sizes.items():
                name = f"{number}{letter}"
                convolution = nn.Conv2d(channels, filters, window, padding="same", bias=False)
                self.add_module(f"conv_{name}", convolution)
                self.add_module(f"norm_{name}", nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01))
        self.out = nn.Linear(4 * width, 10)

    def _convolve(self, x, name):
        return getattr(self, f"norm_{name}")(getattr(self, f"conv_{name}")(x))

    def forward(self, x):
        for number in (1, 2):
            y = torch.relu(self._convolve(x, f"{number}a"))
            y = torch.relu(self._convolve(y, f"{number}b"))
            short = self._convolve(x, "1d") if number == 1 else x
            x = torch.relu(short + self._convolve(y, f"{number}c"))
        return self.out(x.mean((2, 3)))


MODELS = {
    "a": lambda: _mlp(784, 128, 10), "b": lambda: _mlp(784, 512, 10), "c": lambda: _mlp(10000, 16, 16, 1),
    "d": lambda: _mlp(13, 64, 64, 1), "e": _convnet_digits, "f": _convnet_pictures, "g": _lstm_reviews,
    "h": _average_reviews, "i": _convnet_news, "j": Residual,
    "block56": lambda: Bottlenecks(64), "block28": lambda: Bottlenecks(128),
    "block14": lambda: Bottlenecks(256),
}


# ---- weights --------------------------------------------------------------------------------------------
def load(layer: nn.Module, tensors: list[torch.Tensor]) -> None:
    """Give a layer the weights of its Keras counterpart."""
    if isinstance(layer, nn.Linear):
        layer.weight.copy_(tensors[0].T)
        layer.bias.copy_(tensors[1])
    elif isinstance(layer, nn.Conv2d | nn.Conv1d):
        rank = tensors[0].ndim
        layer.weight.copy_(tensors[0].permute(rank - 1, rank - 2, *range(rank - 2)))
        if layer.bias is not None:
            layer.bias.copy_(tensors[1])
    elif isinstance(layer, nn.LSTM):  # the same order of gates
        layer.weight_ih_l0.copy_(tensors[0].T)
        layer.weight_hh_l0.copy_(tensors[1].T)
        layer.bias_ih_l0.copy_(tensors[2])
    elif isinstance(layer, nn.Embedding):
        layer.weight.copy_(tensors[0])
    else:  # batch norm: gamma, beta, mean, variance
        own = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
        for mine, theirs in zip(own, tensors):
            mine.copy_(theirs)


def _channels_first(kernel: torch.Tensor, channels: int) -> torch.Tensor:
    """Return a dense kernel for an image flattened as (C, H, W) instead of (H, W, C)."""
    return kernel.reshape(-1, channels, kernel.shape[1]).transpose(0, 1).reshape(kernel.shape)


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
        if letter in ("c", "g", "h"):
            self.loss, self.hits = nn.BCEWithLogitsLoss(), lambda out, y: ((out > 0) == (y > 0.5)).sum()
        elif letter == "d":
            self.loss, self.hits = nn.MSELoss(), lambda out, y: (out - y).abs().sum()
        else:
            self.loss, self.hits = nn.CrossEntropyLoss(), lambda out, y: (out.argmax(1) == y).sum()
        self.outcome = {"c": torch.sigmoid, "d": lambda out: out}.get(
            letter, torch.sigmoid if letter in ("g", "h") else lambda out: out.softmax(1))

    @torch.no_grad()
    def set_weights(self, weights: dict[str, list[np.ndarray]]) -> None:
        """Take the weights of the Keras model."""
        channels = None  # of the image that the next dense layer sees flattened
        for name, arrays in weights.items():
            layer, tensors = getattr(self.model, name), [torch.from_numpy(a) for a in arrays]
            if isinstance(layer, nn.Linear) and channels is not None:
                tensors[0] = _channels_first(tensors[0], channels)
            load(layer, tensors)
            channels = tensors[0].shape[-1] if isinstance(layer, nn.Conv2d | nn.Conv1d) else None

    def _tensors(self, x, *y):
        x = torch.from_numpy(x).to(self.device)
        if x.ndim == 4:
            x = x.permute(0, 3, 1, 2).contiguous()
        return (x, *(torch.from_numpy(v).to(self.device) for v in y))

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
