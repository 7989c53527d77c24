"""The exercises, in the order in which nn is read, and for each the mistakes that people make there.

A mistake is (the text in the source, the text with the mistake, the hint). The judge runs each mistake; when a
person's numbers are those of a mistake, the hint says so.

Read next: trials.py, the inputs that a piece is tried on.
"""

from __future__ import annotations

from tasks.exercise import trials
from tasks.exercise.cut import Exercise
from tasks.exercise.trials import Gradients, real

TRANSPOSED = "transposed: a matrix stands the wrong way round. Write the shapes of g and of the argument side by side"
NO_G = "missing term: the gradient g of the result is a factor of every derivative (the chain rule)"

EXERCISES = [
    Exercise("product", "nn.tensor", ("mul",), "The derivatives of y = a * b with respect to a and to b.",
             Gradients(a=real(5, 3), b=real(5, 3, seed=1)), [
        ("g * b", "g * a", "swapped: the derivative of a * b with respect to a is b"),
        ("g * b", "-g * b", "sign: a product is not a quotient or a difference"),
        ("g * a", "a", NO_G),
    ]),
    Exercise("unbroadcast", "nn.tensor", ("unbroadcast",),
             "Where numpy repeated an argument, its gradient is a sum over the repetitions. `sum`, `reshape` and "
             "`_cast` are ops of nn; raise the ValueError if the shapes do not fit even then.", trials.unbroadcast, [
        ("x.shape[i - extra] == 1 and n != 1", "False",
         "not summed over the axes in which the argument has length 1"),
        ("g = sum(g, axes) if axes else g", "g = sum(g, axes) / (g.size / x.size) if axes else g",
         "a mean in the place of a sum: every repetition counts in full"),
        ("_cast(reshape(g, x.shape), x.dtype)", "reshape(g, x.shape)",
         "the dtype: the gradient has that of its argument (dtype in = dtype out)"),
        ("_cast(reshape(g, x.shape), x.dtype)", "_cast(g, x.dtype)",
         "the shape: a sum takes axes away, also those of length 1 that the argument has. Reshape at the end"),
    ]),
    Exercise("matmul", "nn.tensor", ("_matmul",),
             "The derivatives of y = a @ b. `x.mT` is x with its last two axes exchanged.",
             Gradients(a=real(5, 3), b=real(3, 2)), [
        ("g @ b.mT", "g @ b", TRANSPOSED),
        ("a.mT @ g", "g.mT @ a", TRANSPOSED + ": this is the transpose of the gradient"),
        ("g @ b.mT", "-g @ b.mT", "sign: there is no minus in a product"),
    ]),
    Exercise("tanh", "nn.ops", ("tanh",), "The derivative of y = tanh(x), written with y: no second tanh is needed.",
             Gradients(x=real(5, 3)), [
        ("1 - y * y", "1 - x * x", "x in the place of y: the derivative is 1 - tanh(x)^2, and tanh(x) is y"),
        ("1 - y * y", "y * y - 1", "sign: tanh grows everywhere, its derivative is positive"),
        ("1 - y * y", "1 - y", "missing term: the square of y"),
        ("g * (1 - y * y)", "(1 - y * y)", NO_G),
    ]),
    Exercise("softmax", "nn.ops", ("softmax",),
             "The derivative of y = softmax(x) over an axis. Every y[i] depends on every x[j]: dy[i] / dx[j] = y[i] * "
             "((i == j) - y[j]). Sum that over i, weighted by g[i].", Gradients(x=real(5, 3)), [
        ("y * (g - sum(g * y, axis, keepdims=True))", "y * g",
         "missing term: all of x[j] share the sum, so a larger x[j] makes the other y smaller"),
        ("y * (g - sum(g * y, axis, keepdims=True))", "g * y * (1 - y)",
         "only the diagonal: this is the derivative of y[i] with respect to x[i] alone, and the other x are missing"),
        ("sum(g * y, axis, keepdims=True)", "sum(g * y)",
         "summed over too much: each row of the batch has a softmax of its own, so sum over `axis` alone"),
        ("g - sum", "sum(g * y, axis, keepdims=True) - g + 0 * sum", "sign: g comes first, and the sum is taken off"),
    ]),
    Exercise("walk", "nn.backward", ("Node", "gradients"),
             "The walk itself: take the newest Tensor that is left, take its gradient out of `grads`, yield it if it "
             "is a target, ask its node's pullback for the gradients of its parents, and add those up. A first "
             "contribution is borrowed, a sum is ours. At the end of a turn release the node, unless retain_graph.",
             trials.walk, [
        ("tensors.pop()", "tensors.pop(0)", "the order: the oldest Tensor was visited first, before its gradient was"
         " complete. Everything that uses a Tensor must come before it"),
        ("grads[birth] = grads[birth] + dx", "grads[birth] = dx",
         "not accumulated: a Tensor that is used twice has two contributions, and this keeps the last one alone"),
        ("elif birth in owned:", "elif True:", "a borrowed array was changed in place: `+=` on a first contribution "
         "changes an array that belongs to someone else, such as the g that was passed"),
        ("t.node = USED", "pass", "not released: t.node = USED frees the memory of the graph on the way"),
    ], at="gradients", first=-1),
    Exercise("logsumexp", "nn.ops", ("_logsumexp", "logsumexp"),
             "log sum exp x over an axis, without overflow, and its derivative. `_from_max(x, axis)` returns x - m "
             "and m, the maximum over the axis, which is kept with length 1.", trials.logsumexp, [
        ("below, m = _from_max(x, axis)", "below, m = x, 0.0",
         "overflow: exp(1000) is infinite. Take the maximum out first: log sum exp x = m + log sum exp (x - m)"),
        (" + m", "", "missing term: the maximum that was taken out has to be added again"),
        (" * softmax(x, axis)", "", "missing term: the derivative of log sum exp x is softmax x"),
        ("return y if keepdims else np.squeeze(y, axis)", "return np.squeeze(y, axis)",
         "the shape: with keepdims=True the axis stays, with length 1"),
    ]),
    Exercise("cross-entropy", "nn.losses", ("_soft_cross_entropy",),
             "The cross-entropy of logits x (K, N) and targets q (K, N), over the first axis, and its derivatives "
             "with respect to x and to q. The columns of q need not sum to 1: classes have weights.",
             Gradients(x=real(3, 5), q=trials.SHARES), [
        ("softmax(x, 0) * sum(q, 0) - q", "q - softmax(x, 0) * sum(q, 0)",
         "sign: the loss falls when the logit of the right class grows, so the gradient is softmax - q"),
        ("softmax(x, 0) * sum(q, 0) - q", "softmax(x, 0) - q",
         "missing term: where the targets of an example do not sum to 1, softmax counts sum(q, 0) times"),
        ("softmax(x, 0) * sum(q, 0) - q", "-q", "missing term: the derivative of the logarithm of the sum"),
        ("-g * log_softmax(x, 0)", "g * log_softmax(x, 0)", "sign: the loss is minus the sum of q log p"),
    ]),
    Exercise("lstm", "nn.cells", ("LSTMCell",),
             "One step of the LSTM from the two products, W_ih x + b_ih and W_hh h + b_hh: four gates, the new cell "
             "state and the new h. `self.products(x, h)` returns both products, split(a, 4, axis=-1) the gates.",
             Gradients(trials.lstm_cell, x=real(5, 3), h=real(5, 2), c=real(5, 2, seed=1)), [
        ("i, f, g, o = split", "i, f, o, g = split", "the order of the gates is i f g o, as in PyTorch"),
        ("sigmoid(f) * c + ", "", "missing term: the old cell state, as far as the forget gate lets it through"),
        ("sigmoid(f) * c", "(1 - sigmoid(i)) * c",
         "the forget gate: 1 - i is the GRU's way. An LSTM has a gate of its own for what it keeps"),
        ("sigmoid(i) * tanh(g)", "sigmoid(i) * sigmoid(g)", "g is not a gate: it is what is written, a tanh"),
        ("sigmoid(o) * tanh(c), c", "sigmoid(o) * c, c", "missing term: the tanh of the cell state"),
    ], at="LSTMCell.forward", first=-4),
    Exercise("bptt", "nn.sequence", ("rnn",),
             "One backward step of the RNN: from dh, the gradient of h[t], to da, that of the product before the tanh "
             "(or the relu). hx[t + 1, :H] is h[t]. Return da, of shape (H, N), and None.", trials.rnn, [
        ("np.subtract(1, da, out=da)", "pass", "missing term: the derivative of tanh is 1 - h^2, not h^2"),
        ("h = hx[t + 1, :H]", "h = hx[t, :H]",
         "one step off: hx[t, :H] is what the step was given, h[t - 1]; what it returned, h[t], is in hx[t + 1, :H]"),
        ("np.multiply(da, dh, out=da), None", "da, None", NO_G + ": here it is dh"),
        ("np.subtract(1, da, out=da)", "np.subtract(da, 1, out=da)", "sign: the derivative of tanh is positive"),
        ("np.where(h > 0, dh, 0)", "dh", "missing term: where relu gave 0, its derivative is 0"),
    ], at="rnn.backward.step"),
    Exercise("bptt-lengths", "nn.sequence", ("_through_time",),
             "The same through all steps, from the last to the first, for sequences of unequal length: ended[t] says "
             "which have ended at step t. Those keep their h, so their dh goes on to the step before unchanged. Add "
             "up dW; fill dx[t]; return dx (N, L, I), dh0 (N, H) and dW.",
             Gradients(trials.layer_with, **trials.LAYER), [
        ("dW += np.dot", "dW[...] = np.dot",
         "not accumulated: the weights are used at every step, and their gradient is the sum over the steps"),
        ("dh += gh[t] if ended is None else np.where(ended[t], 0, gh[t])", "dh += gh[t]",
         "after the end of a sequence h is 0 whatever happens, so the gradient of these zeros must not come in"),
        ("held = np.where(ended[t], dh, 0)", "pass",
         "missing term: what a sequence that has ended keeps, it hands on; its dh has to reach the step before"),
        ("dh[:, ended[t]] = 0", "pass",
         "counted twice: a sequence that has ended makes no step, so its dh must not go through the product as well"),
        ("for t in reversed(range(L)):", "for t in range(L):",
         "the order: backward goes from the last step to the first"),
    ], at="_through_time", first=-3),
    Exercise("reparameterize", "nn.losses", ("_sample",),
             "A sample of N(mean, exp(log_var)) out of noise from N(0, 1), and its derivatives with respect to mean "
             "and to log_var. The noise is given: that is the trick.",
             Gradients(lambda piece: lambda mean, log_var: piece(mean, log_var, real(5, 3, seed=7)),
                       mean=real(5, 3), log_var=real(5, 3, seed=1)), [
        ("np.exp(0.5 * log_var)", "np.exp(log_var)",
         "the standard deviation is exp(log_var / 2): log_var is the logarithm of the variance"),
        ("0.5 * g * exp", "g * exp", "missing term: the inner derivative of log_var / 2 is 1 / 2"),
        (" * noise", "", "missing term: the noise is a factor, also in the derivative"),
    ]),
    Exercise("gaussian-kl", "nn.losses", ("_gaussian_kl",),
             "The KL divergence of N(mean, exp(log_var)) from N(0, 1), element by element, and its derivatives.",
             Gradients(mean=real(5, 3), log_var=real(5, 3, seed=1)), [
        ("np.expm1(log_var) - log_var", "np.expm1(log_var) + log_var",
         "sign: log_var is taken off; KL is 0 at mean = 0 and log_var = 0 and positive elsewhere"),
        ("0.5 * (mean", "(mean", "missing term: the factor 1 / 2"),
        ("expm1(log_var)", "exp(log_var)", "missing term: the - 1, which makes KL and its derivative 0 at N(0, 1)"),
        ("0.5 * g * expm1", "-0.5 * g * expm1", "sign: a larger variance than 1 makes KL larger"),
    ]),
    Exercise("adam", "nn.optim", ("Adam",),
             "One step of Adam, in place, for the parameters p and their gradient g. m and v stay from one step to "
             "the next; s is an array of p's shape that you may write into, or leave alone. self.steps counts from 1.",
             trials.adam, [
        ("(1 - beta1) / (1 - beta1**self.steps)", "(1 - beta1)",
         "missing term: m starts at 0 and is too small at first; divide it by 1 - beta1^t"),
        ("scale = math.sqrt((1 - beta2) / (1 - beta2**self.steps))", "scale = math.sqrt(1 - beta2)",
         "missing term: v starts at 0 and is too small at first; divide it by 1 - beta2^t"),
        ("v += np.multiply(g, g, out=s)", "v += g", "missing term: v is the mean of the *squares* of the gradient"),
        ("m *= beta1", "m *= 0", "not accumulated: m is a moving average, and the old one counts beta1 times"),
        ("g = self.decay(p, g)", "pass", "missing term: the weight decay, self.decay(p, g)"),
        ("p -= s", "p += s", "sign: the parameters go against the gradient"),
        ("s += self.eps / scale", "pass", "missing term: eps below the fraction"),
    ], at="Adam.update"),
    Exercise("complex-step", "nn.gradcheck", ("_complex_step",),
             "The derivative of f along v for input i, from one value of f at x + ihv with h = 1e-20. Return None "
             "where f raises TypeError or ValueError, loses the imaginary part (ComplexWarning), or is real for a "
             "complex x. `_moved(inputs, i, step)`, `_lift(arrays, np.complex128)`, `_results(f, xs)` and `_total(ys, "
             "weights, chosen)` are functions of nn/gradcheck.py.", trials.complex_step, [
        ("y.imag / h", "y.real / h", "the wrong part: the real part is f itself, the imaginary part the derivative"),
        ("y.imag / h", "y.imag", "missing term: the imaginary part is h times the derivative"),
        ("1j * h * v", "h * v", "missing term: the step is imaginary, 1j * h * v"),
        ("y.imag / h if np.iscomplexobj(y) else None", "y.imag / h",
         "a function that is real for a complex x has lost the step: the answer is None, not 0"),
    ]),
]

BY_NAME = {exercise.name: exercise for exercise in EXERCISES}
