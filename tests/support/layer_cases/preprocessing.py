"""Preparation of numbers, categories and sounds; for text and hashes see golden/text."""

import numpy as np

from .case import Case

IDS = np.array([[0, 2, 2], [1, 1, 0], [3, 0, 1]], "int32")
WEIGHTS = np.array([[0.5, 2, 1], [1, 1.5, 3], [0, 1, 2]], "float32")


def adapt(layer, inputs):
    layer.adapt(np.asarray(inputs))


CASES = [
    Case("Rescaling", {"scale": 0.5, "offset": -1.0}, (4, 5, 3)),
    Case("Rescaling", {"scale": [0.5, 2.0, 1.0], "offset": [0.0, 1.0, -1.0]}, (4, 3)),
    Case("Rescaling", {"scale": 1 / 255}, (4, 3), integers=255),
    Case("Normalization", {}, (4, 3), setup=adapt),
    Case("Normalization", {"axis": None}, (4, 3), setup=adapt),
    Case("Normalization", {"axis": [1, 3]}, (4, 2, 3), setup=adapt),
    Case("Normalization", {"mean": [1.0, 2.0, -1.0], "variance": [4.0, 0.0, 9.0], "invert": True}, (4, 3)),
    Case("Normalization", {"axis": 1, "mean": [1.0, 2.0, 0.0, 0.5], "variance": [4.0, 1.0, 0.5, 2.0]},
         (4, 3)),
    *[Case("Discretization", {"bin_boundaries": [-1.0, 0.0, 1.5], "output_mode": mode}, shape)
      for mode, shape in (("int", (4,)), ("one_hot", (4,)), ("multi_hot", (4,)), ("count", (5,)),
                          ("one_hot", (1,)))],
    *[Case("CategoryEncoding", {"num_tokens": 4, "output_mode": mode}, values=[IDS])
      for mode in ("one_hot", "multi_hot", "count")],
    Case("CategoryEncoding", {"num_tokens": 3, "output_mode": "one_hot"}, values=[IDS[:, :1]]),
    Case("CategoryEncoding", {"num_tokens": 4, "output_mode": "count"}, values=[IDS],
         call={"count_weights": WEIGHTS}),
    Case("MelSpectrogram", {"fft_length": 64, "sequence_stride": 20, "num_mel_bins": 6}, (150,),
         tolerance=1e-4),
    Case("MelSpectrogram", {"fft_length": 64, "sequence_length": 40, "sequence_stride": 20, "num_mel_bins": 5,
                            "window": "hamming", "mag_exp": 1.0, "power_to_db": False, "max_freq": 4000.0},
         (150,), tolerance=1e-4),
    Case("MelSpectrogram", {"fft_length": 64, "sequence_stride": 20, "num_mel_bins": 6, "top_db": 15.0,
                            "ref_power": 2.0, "min_power": 1e-2}, (150,), tolerance=1e-4),
    *[Case("STFTSpectrogram", {"frame_length": 16, **kwargs}, (40, channels), tolerance=1e-4)
      for kwargs, channels in (
          ({}, 1), ({"mode": "psd", "frame_step": 5, "fft_length": 32, "scaling": "spectrum"}, 2),
          ({"mode": "stft", "padding": "same", "window": None, "expand_dims": True}, 2),
          ({"mode": "real", "periodic": True, "scaling": None}, 2),
      )],
    Case("STFTSpectrogram", {"frame_length": 16, "mode": "magnitude", "window": "blackman",
                             "expand_dims": True, "data_format": "channels_first"}, (3, 40), tolerance=1e-4),
    # Keras warns of a Pipeline that is built by hand.
    Case("Pipeline", lambda L: {"layers": [L.Rescaling(2.0), L.ReLU()]}, (4,), keras3=False),
]
