"""Differentiable functions on tensors (``keras.ops``).

One explicit import per file; every name here is public.
"""
# ruff: noqa: I001, F401  (packed by hand; these are the public names)

from .math import (
    abs, absolute, add, cbrt, ceil, clip, deg2rad, divide, divide_no_nan, divmod,
    fabs, floor, floor_divide, fmax, fmin, fmod, gcd, heaviside, hypot, lcm, ldexp, maximum, minimum,
    mod, multiply, nan_to_num, negative, nextafter, positive, power, rad2deg, reciprocal, remainder,
    round, rsqrt, sign, signbit, sqrt, square, subtract, true_divide, trunc,
)
from .complex import angle, conj, conjugate, imag, polar, real, view_as_complex, view_as_real
from .comparison import (
    allclose, bitwise_and, bitwise_invert, bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift,
    bitwise_xor, equal, greater, greater_equal, isclose, isfinite, isinf, isnan, isneginf, isposinf, isreal,
    left_shift, less, less_equal, logical_and, logical_not, logical_or, logical_xor, not_equal, right_shift,
)
from .transcendental import (
    arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh, cos, cosh, erf, erfc, erfinv, exp, exp2,
    expm1, i0, log, log10, log1p, log2, logaddexp, logaddexp2, sin, sinc, sinh, tan, tanh,
)
from .core import (
    array, cast, convert_to_numpy, convert_to_tensor, copy, custom_gradient, detach, dtype, is_tensor, ndim,
    saturate_cast, shape, size, stop_gradient,
)
from .creation import (
    arange, bartlett, blackman, empty, empty_like, eye, full, full_like, geomspace, hamming, hanning,
    identity, kaiser, linspace, logspace, ones, ones_like, tri, vander, zeros, zeros_like,
)
from .reduction import (
    all, amax, amin, any, argmax, argmin, count_nonzero, cumprod, cumsum, logsumexp, max, mean, min, moments,
    normalize, prod, ptp, std, sum, var,
)
from .products import (
    cross, dot, einsum, inner, kron, matmul, outer, tensordot, trace, vdot,
)
from .linalg import (
    cholesky, cholesky_inverse, det, eig, eigh, inv, logdet, lstsq, lu_factor, matrix_rank, norm, pinv, qr,
    slogdet, solve, solve_triangular, svd,
)
from .control import (
    associative_scan, cond, fori_loop, jvp, map, scan, switch, vectorize, vectorized_map, while_loop,
)
from .recurrent import gru, lstm, simple_rnn
from .recurrent_convolution import conv_lstm

from .convolutions import conv, conv_transpose, convolution, transposed_convolution
from .separable_convolutions import (
    depthwise_conv, depthwise_convolution, separable_conv, separable_convolution,
)
from .locally_connected import locally_connected
from .pooling import average_pool, max_pool
from .adaptive_pooling import adaptive_average_pool, adaptive_max_pool
from .activation import (
    celu, clipped_relu, elu, gelu, glu, hard_shrink, hard_sigmoid, hard_sigmoid_keras2, hard_silu, hard_tanh,
    leaky_relu, log_sigmoid, log_softmax, mish, relu, relu6, selu, sigmoid, silu, soft_shrink, softmax,
    softplus, softsign, sparse_plus, sparse_sigmoid, sparsemax, squareplus, tanh_shrink, threshold,
)
from .activation import hard_silu as hard_swish, silu as swish
from .attention import dot_product_attention
from .ctc import ctc_loss
from .ctc_decoding import ctc_decode
from .fourier import extract_sequences, fft, fft2, ifft2, irfft, rfft
from .short_time import istft, stft
from .dense import dense, fused_dense
from .dropout import dropout
from .embedding import embedding, embedding_gradient
from .loss import (
    binary_crossentropy, categorical_crossentropy, mean_absolute_error, mean_squared_error,
    sigmoid_cross_entropy, softmax_cross_entropy, sparse_categorical_crossentropy,
    sparse_softmax_cross_entropy, weighted_total,
)
from .normalization import (
    batch_normalization, batch_normalization_training, layer_normalization, rms_normalization,
)
from . import image
from .shaping import (
    bitcast, broadcast_to, expand_dims, flip, fliplr, flipud, moveaxis, ravel, rearrange, reshape, roll,
    rot90,
    squeeze, swapaxes, transpose, view,
)
from .blocks import depth_to_space, fold, space_to_depth, unfold
from .joining import (
    append, array_split, concatenate, dsplit, dstack, hsplit, hstack, meshgrid, repeat, split, stack, tile,
    unstack, vsplit, vstack,
)
from .padding import pad
from .diagonals import diag, diagflat, diagonal, tril, triu
from .indexing import (
    gather, get_item, getitem, slice, take, take_along_axis,
)
from .choosing import multi_hot, nonzero, one_hot, select, unravel_index, where
from .scattering import (
    gather_nd, scatter, scatter_update, segment_max, segment_min, segment_prod, segment_sum, slice_update,
)
from .sorting import (
    argpartition, argsort, bincount, digitize, histogram, in_top_k, isin, searchsorted, sort, top_k, unique,
)
from .statistics import (
    average, cdist, corrcoef, correlate, diff, median, nanargmax, nanargmin, nancumprod, nancumsum, nanmax,
    nanmean, nanmedian, nanmin, nanpercentile, nanprod, nanquantile, nanstd, nansum, nanvar, percentile,
    psnr, quantile, trapezoid,
)
from . import operators  # last: binds operators and methods to the tensor classes
from . import nn, numpy  # Keras's second names for all of this
