"""A deep-learning library from nothing but numpy. In the order in which to read it:

    recording.py   the switch that no_grad turns off
    tensor.py      what an op is, the Tensor, and the ops of Python's operators
    backward.py    the walk back through a graph
    ops.py         the table of derivatives
    losses.py      cross-entropies, Gaussian KL, reparameterization
    module.py      parameters by walking attributes
    cells.py       one step of RNN, LSTM, GRU in plain ops
    fused.py       the second kind of op: a layer at once, differentiated by hand
    memory.py      memory that is used again
    threads.py     two threads for what is large
    sequence.py    RNN, LSTM, GRU over a whole sequence, with back-propagation through time by hand
    layers.py      Linear, Embedding, Dropout, LayerNorm, RNN, LSTM, GRU
    optim.py       SGD, RMSprop, Adam, AdamW, clipping, schedules
    batches.py     a data set in batches
    anomaly.py     which op made the first nan?
    draw.py        a picture of a graph
    gradcheck.py   is this gradient right?
"""

__version__ = "0.2.0"

from nn.recording import no_grad
from nn.threads import set_num_threads
from nn.tensor import (Tensor, add, astype, broadcast_to, div, getitem, grad, log, matmul, mul, neg, op, pow,
                       reshape, scatter, sub, sum, swapaxes)
from nn.ops import (abs, argmax, clip, concatenate, cos, cumsum, einsum, elu, exp, expm1, gelu, leaky_relu, linear,
                    log1p, log_softmax, logsumexp, max, maximum, mean, min, minimum, norm, pad, prod, relu, sigmoid,
                    silu, sin, softmax, softplus, split, sqrt, stack, std, tanh, transpose, var, where)
from nn.losses import (binary_cross_entropy, binary_cross_entropy_with_logits, cross_entropy, gaussian_kl, huber_loss,
                       l1_loss, mse_loss, nll_loss, reparameterize)
from nn.module import Module, Parameter, Sequential
from nn.cells import GRUCell, LSTMCell, RNNCell
from nn.fused import fused
from nn.layers import (ELU, GELU, GRU, LSTM, RNN, Dropout, Embedding, LayerNorm, LeakyReLU, Linear, LogSoftmax, ReLU,
                       Sigmoid, SiLU, Softmax, Softplus, Tanh)
from nn.optim import (SGD, Adam, AdamW, Optimizer, RMSprop, clip_grad_norm_, clip_grad_value_, cosine_decay,
                      linear_warmup, step_decay)
from nn.batches import batches
from nn.anomaly import find_anomaly
from nn.draw import draw
from nn.gradcheck import GradientError, gradcheck
