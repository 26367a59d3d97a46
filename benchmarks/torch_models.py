"""The models of the workloads in bare PyTorch, as a user would write them by hand.

Layers have the names of the Keras models (``keras_models.py``), whose weights ``set_weights`` translates.
Images come with their channels first, sequences of images as (N, T, C, H, W).
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from keras_models import WORDS
from torch import nn


class Mean(nn.Module):
    """Average over the words of a text."""

    def forward(self, x):
        return x.mean(1)


class Last(nn.Module):
    """Output of the last time step of a recurrent layer."""

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


class Pictures(nn.Module):
    """Rows of numbers as (N, C, H, W), given with their channels last."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.view(-1, *self.shape).movedim(-1, 1).contiguous()


class Behind(nn.Module):
    """Padding at the bottom and at the right."""

    def forward(self, x):
        return F.pad(x, (0, 1, 0, 1))


def _norm(width: int) -> nn.Module:
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


class Separable(nn.Sequential):
    """A depthwise convolution and one of single positions."""

    def __init__(self, channels: int, filters: int):
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, filters, 1, bias=False),
        )


def _separable_pictures() -> nn.Sequential:
    return _layers(
        conv1=nn.Conv2d(3, 32, 3, padding=1, bias=False), norm1=_norm(32), relu1=nn.ReLU(),
        separable2=Separable(32, 64), norm2=_norm(64), relu2=nn.ReLU(),
        behind=Behind(), depthwise3=nn.Conv2d(64, 64, 3, stride=2, groups=64, bias=False),
        norm3=_norm(64), relu3=nn.ReLU(),
        pointwise4=nn.Conv2d(64, 128, 1, bias=False), norm4=_norm(128), relu4=nn.ReLU(),
        separable5=Separable(128, 128), norm5=_norm(128), relu5=nn.ReLU(),
        mean=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), out=nn.Linear(128, 10),
    )


def _generator_digits() -> nn.Sequential:
    return _layers(
        project=nn.Linear(64, 7 * 7 * 128), relu=nn.ReLU(), pictures=Pictures(7, 7, 128),
        up1=nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1, bias=False), norm1=_norm(64),
        leaky1=nn.LeakyReLU(0.2),
        up2=nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1, bias=False), norm2=_norm(32),
        leaky2=nn.LeakyReLU(0.2),
        out=nn.ConvTranspose2d(32, 1, 5, padding=2),
    )


def _gru_reviews() -> nn.Sequential:
    return _layers(words=nn.Embedding(WORDS, 128), gru=nn.GRU(128, 128, batch_first=True), last=Last(),
                   out=nn.Linear(128, 1))


class ConvLSTM(nn.Module):
    """All outputs of a convolutional LSTM; the inputs of all steps are convolved at once."""

    def __init__(self, channels: int, filters: int):
        super().__init__()
        self.inputs = nn.Conv2d(channels, 4 * filters, 3, padding=1)
        self.state = nn.Conv2d(filters, 4 * filters, 3, padding=1, bias=False)

    def forward(self, x):
        z = self.inputs(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        h = c = None
        outputs = []
        for zt in z.unbind(1):
            i, f, g, o = (zt if h is None else zt + self.state(h)).chunk(4, 1)
            new = torch.sigmoid(i) * torch.tanh(g)
            c = new if c is None else torch.sigmoid(f) * c + new
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs, 1)


class NextFrames(nn.Module):
    """The model of (n)."""

    def __init__(self):
        super().__init__()
        self.lstm1, self.lstm2 = ConvLSTM(1, 16), ConvLSTM(16, 16)
        self.norm1, self.norm2 = (nn.BatchNorm3d(16, eps=1e-3, momentum=0.01) for _ in range(2))
        self.out = nn.Conv3d(16, 1, 3, padding=1)

    def forward(self, x):
        x = self.norm1(self.lstm1(x).transpose(1, 2)).transpose(1, 2)
        x = self.norm2(self.lstm2(x).transpose(1, 2))
        return self.out(x).transpose(1, 2)


class Transformer(nn.Module):
    """The model of (o)."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, 64)
        self.attention = nn.MultiheadAttention(64, 4, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(64, eps=1e-6), nn.LayerNorm(64, eps=1e-6)
        self.inner, self.outer, self.out = nn.Linear(64, 128), nn.Linear(128, 64), nn.Linear(64, 1)

    def forward(self, x):
        x = self.words(x)
        x = self.norm1(x + self.attention(x, x, x, need_weights=False)[0])
        x = self.norm2(x + self.outer(torch.relu(self.inner(x))))
        return self.out(x.mean(1))


def _grouped_pictures() -> nn.Sequential:
    layers = {}
    for number, (before, width) in enumerate(((3, 32), (32, 64), (64, 128)), 1):
        layers[f"conv{number}"] = nn.Conv2d(before, width, 3, padding=1, bias=False)
        layers[f"norm{number}"] = nn.GroupNorm(8, width, eps=1e-3)
        layers[f"relu{number}"] = nn.ReLU()
        layers[f"pool{number}"] = nn.MaxPool2d(2) if number < 3 else nn.AdaptiveAvgPool2d(1)
    return _layers(**layers, flatten=nn.Flatten(), out=nn.Linear(128, 10))


MODELS = {
    "a": lambda: _mlp(784, 128, 10), "b": lambda: _mlp(784, 512, 10), "c": lambda: _mlp(10000, 16, 16, 1),
    "d": lambda: _mlp(13, 64, 64, 1), "e": _convnet_digits, "f": _convnet_pictures, "g": _lstm_reviews,
    "h": _average_reviews, "i": _convnet_news, "j": Residual,
    "k": _separable_pictures, "l": _generator_digits, "m": _gru_reviews, "n": NextFrames, "o": Transformer,
    "p": _grouped_pictures,
    "block56": lambda: Bottlenecks(64), "block28": lambda: Bottlenecks(128),
    "block14": lambda: Bottlenecks(256),
}


# ---- weights --------------------------------------------------------------------------------------------
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)


@torch.no_grad()
def set_weights(model: nn.Module, weights: dict[str, list[np.ndarray]]) -> None:
    """Give a model the weights of its Keras counterpart, by the names of the layers."""
    channels = None  # of the image that the next dense layer sees flattened
    for name, arrays in weights.items():
        layer, tensors = getattr(model, name), [torch.from_numpy(a) for a in arrays]
        if isinstance(layer, nn.Linear) and channels is not None:
            tensors[0] = _channels_first(tensors[0], channels)
        load(layer, tensors)
        channels = tensors[0].shape[-1] if isinstance(layer, nn.Conv2d | nn.Conv1d) else None


def load(layer: nn.Module, tensors: list[torch.Tensor]) -> None:
    """Give a layer the weights of its Keras counterpart."""
    if isinstance(layer, nn.Linear):
        layer.weight.copy_(tensors[0].T)
        layer.bias.copy_(tensors[1])
    elif isinstance(layer, CONVOLUTIONS):  # of a transposed one both kernels are turned round
        kernel = tensors[0]
        if getattr(layer, "groups", 1) > 1:  # depthwise: (*window, C, 1)
            kernel = kernel.transpose(-1, -2)
        rank = kernel.ndim
        layer.weight.copy_(kernel.permute(rank - 1, rank - 2, *range(rank - 2)))
        if layer.bias is not None:
            layer.bias.copy_(tensors[1])
    elif isinstance(layer, Separable):
        for part, tensor in zip(layer, tensors):
            load(part, [tensor])
    elif isinstance(layer, ConvLSTM):  # the same order of gates
        load(layer.inputs, [tensors[0], tensors[2]])
        load(layer.state, [tensors[1]])
    elif isinstance(layer, nn.LSTM):  # the same order of gates
        layer.weight_ih_l0.copy_(tensors[0].T)
        layer.weight_hh_l0.copy_(tensors[1].T)
        layer.bias_ih_l0.copy_(tensors[2])
    elif isinstance(layer, nn.GRU):  # update and reset change places
        order = torch.arange(3 * layer.hidden_size).view(3, -1)[[1, 0, 2]].flatten()
        layer.weight_ih_l0.copy_(tensors[0].T[order])
        layer.weight_hh_l0.copy_(tensors[1].T[order])
        layer.bias_ih_l0.copy_(tensors[2][0, order])
        layer.bias_hh_l0.copy_(tensors[2][1, order])
    elif isinstance(layer, nn.MultiheadAttention):  # kernel and bias of query, key, value and outputs
        width = layer.embed_dim
        layer.in_proj_weight.copy_(torch.cat([tensors[i].reshape(width, -1).T for i in (0, 2, 4)]))
        layer.in_proj_bias.copy_(torch.cat([tensors[i].flatten() for i in (1, 3, 5)]))
        layer.out_proj.weight.copy_(tensors[6].reshape(-1, width).T)
        layer.out_proj.bias.copy_(tensors[7])
    elif isinstance(layer, nn.Embedding):
        layer.weight.copy_(tensors[0])
    else:  # normalization: gamma, beta and, of batches, mean and variance
        own = (layer.weight, layer.bias, *layer.buffers())
        for mine, theirs in zip(own, tensors):
            mine.copy_(theirs)


def _channels_first(kernel: torch.Tensor, channels: int) -> torch.Tensor:
    """Return a dense kernel for an image flattened as (C, H, W) instead of (H, W, C)."""
    return kernel.reshape(-1, channels, kernel.shape[1]).transpose(0, 1).reshape(kernel.shape)
