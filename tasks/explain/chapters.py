"""The ten chapters of the page: their text, and expressions that are run when the page is made.

Read next: experiments.py, what the page measures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

import nn
from tasks.explain.experiments import fading, fading_figure, v_curve, v_curve_figure
from tasks.explain.source import formula, function
from tasks.explain.trace import Play, play, run_code, shown


@dataclass
class Part:
    """A piece of code that was run, how it plays, and what there is to say about it."""

    text: str = ""
    formulas: list[str] = field(default_factory=list)
    code: str = ""
    play: Play | None = None
    table: tuple[list[str], list[list[str]]] | None = None
    source: tuple[str, str] | None = None
    figure: Figure | None = None


@dataclass
class Chapter:
    """A chapter. exercise: the names of what the reader may write next."""

    title: str
    parts: list[Part]
    exercises: tuple[str, ...] = ()


def played(code: str, text: str, *formulas: str, title: str = "", where: str = "--code", **options) -> Part:
    """Run the code, and play its last value. where: what messages about the code begin with."""
    y, variables = run_code(code, where)
    return Part(text, [formula(one) for one in formulas], code, play(y, variables, title, **options))


def chapters() -> list[Chapter]:
    return [chapter() for chapter in (accumulation, operators, broadcasting, classification, through_time, gates,
                                      reparameterization, autoencoder, second_derivatives, gradient_check)]


def accumulation() -> Chapter:
    code = "a = Tensor(3.0, True)\nb = a + a\nc = b + b"
    return Chapter("What is used twice gets two gradients", [
        played(code, "c is 4 times a, so the gradient of a has to be 4. Each op knows its own derivative only, that "
                     "of a sum: each argument gets the gradient g of the result. As b is used twice by c, two "
                     "contributions arrive at b, and they are added. Only then does b hand its gradient on. Go "
                     "through the steps with the buttons, the slider, or the arrow keys.",
               "d(c, a) == d(c, b) * d(b, a)", "d(c, a) == (1 + 1) * (1 + 1)",
               title="In the right order: the newest first"),
        Part("What goes wrong without an order: here b hands on each contribution at once. The first time it has half "
             "of its gradient; the second time it hands on the whole, and the first half is counted again. The answer "
             "is 6 in the place of 4.", play=play(*run_code(code), "In a wrong order", wrong_order=True)),
        Part("The walk of nn takes the newest Tensor first. The arguments of an op are older than its result, so "
             "everything that uses b comes before b.", source=("nn/backward.py", function("backward", "gradients"))),
    ], ("product", "walk"))


def operators() -> Chapter:
    return Chapter("An expression with every operator", [
        played("x = Tensor([2.0, 3.0], True)\nW = Tensor([[1.0, -1.0], [0.5, 2.0]], True)\n"
               "y = ((x @ W - 1.0) / x + x**2 * -W[0]).sum()",
               "Each step shows the op's row of the table as it stands in the source of nn: first its value, then one "
               "derivative for each argument. In a row g is the gradient of the result and y the result. A vector "
               "times a matrix is three ops: the vector becomes a row, is multiplied, and becomes a vector again."),
    ], ("matmul", "tanh"))


def broadcasting() -> Chapter:
    return Chapter("Broadcasting, and how it is undone", [
        played("a = Tensor([[1.0], [2.0], [3.0]], True)\nb = Tensor([10.0, 20.0], True)\ny = (a * b).sum()",
               "a has the shape 3×1 and b the shape 2; numpy repeats both to 3×2. A number that was repeated has an "
               "effect through each repetition, so its gradient is the sum over them."),
        Part("One function does this for every op; a derivative in the table need not think of it.",
             source=("nn/tensor.py", function("tensor", "unbroadcast"))),
    ], ("unbroadcast",))


def classification() -> Chapter:
    return Chapter("A linear layer and the cross-entropy", [
        played("x = np.array([[1.0, 2.0], [-1.0, 0.5]])\n"
               "W = Tensor([[0.1, 0.3], [-0.2, 0.4], [0.5, -0.1]], True, float)\n"
               "b = Tensor([0.0, 0.1, -0.1], True, float)\nlogits = linear(x, W, b)\n"
               "loss = cross_entropy(logits, np.array([2, 0]))",
               "Two examples, three classes. The gradient of the logits is the probability that the model gives, "
               "minus 1 at the right class, divided by the number of examples. The data x is dashed: it needs no "
               "gradient, so the product for it is never computed.", "d(loss, logits) == (softmax(logits) - q) / N"),
    ], ("softmax", "logsumexp", "cross-entropy"))


RECURRENT = """x = [0.9, -0.4, 0.3, 0.7, -0.2]
w, u, b = Tensor(0.5, True, float), Tensor(0.8, True, float), Tensor(0.1, True, float)
h = [Tensor(0.0, True, float)]
for t in range(5):
    h.append(tanh(w * x[t] + u * h[t] + b))
loss = h[5] ** 2"""

FUSED = """x = np.array([0.9, -0.4, 0.3, 0.7, -0.2]).reshape(1, 5, 1)
h0, w, u = Tensor([[0.0]], True, float), Tensor([[0.5]], True, float), Tensor([[0.8]], True, float)
b, zero = Tensor([0.1], True, float), Tensor([0.0], True, float)
h, h_n = nn.sequence.rnn(x, h0, w, u, b, zero)
loss = (h_n**2).sum()"""


def through_time() -> Chapter:
    loss, variables = run_code(RECURRENT)
    h = variables["h"]
    sizes = nn.grad(loss, h, retain_graph=True)
    weights = nn.grad(loss, [variables[name] for name in "wub"], retain_graph=True)
    fused_loss, fused = run_code(FUSED)
    fused_weights = nn.grad(fused_loss, [fused[name] for name in "wub"], retain_graph=True)
    steps = [[f"h[{t}]", shown(h[t]), shown(g)] for t, g in enumerate(sizes)]
    both = [[name, *(f"{g.item():.10f}" for g in pair)]
            for name, *pair in zip("wub", weights, fused_weights, strict=True)]
    return Chapter("Back-propagation through time", [
        played(RECURRENT, "A recurrent network of one unit, over five steps. The same w, u and b are used at every "
               "step: their gradient is a sum of five contributions. Nothing new is needed for that: back-propagation "
               "through time is the walk back through this graph.", "h[t] == tanh(w * x[t] + u * h[t - 1] + b)",
               "d(h[t], h[t - 1]) == u * (1 - h[t] ** 2)"),
        Part("The gradient at each step. On the way from h[t] to h[t - 1] it is multiplied by u (1 - h[t]²), which is "
             "below 0.8 here: it fades.", table=(["state", "value", "gradient of the loss"], steps)),
        Part("The same as one fused op. It keeps what backward needs in arrays and goes back through the steps in a "
             "loop of numpy calls.", code=FUSED, play=play(fused_loss, fused, "One op for all five steps")),
        Part("The numbers are equal.", table=(["gradient of", "plain ops", "fused op"], both)),
    ], ("bptt", "bptt-lengths"))


def gates() -> Chapter:
    sizes = fading()
    table = [[name, *(f"{values[-1 - back]:.2g}" for back in (1, 5, 10, 30))] for name, values in sizes.items()]
    return Chapter("LSTM and GRU: a way on which the gradient need not fade", [
        played("cell = LSTMCell(1, 1, rng=np.random.default_rng(3), dtype=float)\n"
               "x, h, c = np.array([[0.5]]), Tensor([[0.1]], True, float), Tensor([[0.8]], True, float)\n"
               "h_next, c_next = cell(x, (h, c))\nloss = (h_next + c_next).sum()",
               "One step of an LSTM. Look for the way from c to the new c: a product with the forget gate f, and a "
               "sum. There is no tanh and no matrix on that way. If f is near 1, nearly all of the gradient arrives.",
               "c[t] == f * c[t - 1] + i * g", "h[t] == o * tanh(c[t])"),
        Part("Measured on 16 sequences of 30 random inputs, with 12 units: the size of the gradient of the last state "
             "with respect to earlier ones, relative to the last. For the LSTM the state is c. With weights as they "
             "are initialised all three fade, because f is near one half. With 3 added to the bias of the forget "
             "gate, f is near 0.95, and most of the gradient arrives. The GRU has the same way, with z in the place of "
             "f: h[t] contains z h[t - 1], and a bias of z does the same. An RNN has no such switch.",
             table=(["cell", "1 step", "5 steps", "10 steps", "30 steps before"], table), figure=fading_figure(sizes)),
    ], ("lstm",))


WITHOUT = """mean, log_var = Tensor([0.5], True, float), Tensor([-1.0], True, float)
z = Tensor(np.random.default_rng(0).normal(mean.data, np.exp(log_var.data / 2)))
loss = (z**2).sum()
loss.backward()"""


def reparameterization() -> Chapter:
    try:
        exec(WITHOUT, {"Tensor": nn.Tensor, "np": np})
        raise AssertionError("a sample that was drawn has no graph")
    except RuntimeError as error:
        answer = f"RuntimeError: {error}"
    return Chapter("The reparameterization trick", [
        played("mean, log_var = Tensor([0.5], True, float), Tensor([-1.0], True, float)\n"
               "noise = np.random.default_rng(0).standard_normal(1)\n"
               "z = mean + exp(log_var / 2) * noise\nloss = (z**2).sum()",
               "A sample of N(mean, exp(log_var)). The noise is drawn first, and the sample is computed from it. So z "
               "is an ordinary function of mean and log_var, and has a gradient.",
               "z == mean + exp(log_var / 2) * noise",
               "d(z, mean) == 1", title="With the trick"),
        Part("Without the trick: z is drawn from the distribution as a number. Nothing says how it depends on mean, "
             f"so there is no gradient. The answer of nn: “{answer}”.", code=WITHOUT),
    ], ("reparameterize",))


VAE = """x, noise = np.array([[1.0, 0.0, 1.0]]), np.array([[0.3, -1.1]])
mean, log_var = Tensor([[0.5, -0.2]], True, float), Tensor([[-1.0, 0.4]], True, float)
W = Tensor([[0.5, -0.3], [0.2, 0.8], [-0.6, 0.1]], True, float)
b = Tensor([0.1, 0.0, -0.1], True, float)
z = mean + exp(log_var / 2) * noise
reconstruction = binary_cross_entropy_with_logits(linear(z, W, b), x, "sum")
kl = gaussian_kl(mean, log_var, "sum")
loss = reconstruction + kl"""


def autoencoder() -> Chapter:
    loss, variables = run_code(VAE)
    terms = [variables["reconstruction"], variables["kl"], loss]
    table = [[name, *(shown(nn.grad(term, variables[name], retain_graph=True)) for term in terms)]
             for name in ("mean", "log_var")]
    return Chapter("The loss of a variational autoencoder: two terms", [
        played(VAE, "An image of three pixels, two latents. The first term asks that the decoder gives the image "
                    "back; the second, that mean and variance stay near those of N(0, 1). Both reach mean and "
                    "log_var, and their contributions are added.",
               "KL == (mean ** 2 + exp(log_var) - 1 - log_var) / 2", "d(KL, mean) == mean",
               "d(KL, log_var) == (exp(log_var) - 1) / 2"),
        Part("What each term says. Where the two pull in opposite directions, training finds a balance.",
             table=(["gradient of", "reconstruction", "KL", "the loss"], table)),
    ], ("gaussian-kl", "adam"))


def second_derivatives() -> Chapter:
    code = "x = Tensor(2.0, True, float)\ny = x**3\ndx = grad(y, x, create_graph=True)\ndx"
    return Chapter("Second derivatives: the graph of a gradient", [
        played(code, "A derivative in the table is written with ops. With create_graph=True the backward pass works "
                     "on Tensors, so it is recorded like any other computation: the gradient dx = 3 x² has a graph of "
                     "its own, this one. A walk back through it gives the second derivative, 6 x = 12.",
               "d(y, x) == 3 * x ** 2", "d(dx, x) == 6 * x"),
    ])


def gradient_check() -> Chapter:
    x = np.array([0.3, -1.2])
    right = nn.op(np.square, lambda g, y, x: 2 * g * x)
    wrong = nn.op(np.square, lambda g, y, x: g * x)
    code = ("right = op(np.square, lambda g, y, x: 2 * g * x)\nwrong = op(np.square, lambda g, y, x: g * x)\n"
            "gradcheck(right, np.array([0.3, -1.2]))\ngradcheck(wrong, np.array([0.3, -1.2]))")
    try:
        nn.gradcheck(wrong, x)
        raise AssertionError("a wrong derivative was not seen")
    except nn.GradientError as error:
        message = str(error)
    steps, central, complex_step = v_curve()
    best = int(np.argmin(central))
    return Chapter("Is a derivative right? A gradient check", [
        Part("A derivative can be compared with a difference of two values of the function. For the right derivative "
             f"of x² the relative error is {nn.gradcheck(right, x):.1g}; for one that lacks the factor 2, gradcheck "
             "says where and by how much it is wrong.", [formula("d(f, x) == (f(x + h) - f(x - h)) / (2 * h)")], code,
             source=("what gradcheck says", message)),
        Part("How exact is such a difference? A large step h leaves out the higher terms; a small one subtracts two "
             f"nearly equal numbers, and rounding is divided by h. Between the two the error is smallest, here "
             f"{central[best]:.1g} at h = {steps[best]:.1g}: a curve like a V. The complex step subtracts nothing: its "
             f"error is {complex_step[-1]:.1g} even at h = {steps[-1]:.0g}.",
             [formula("d(f, x) == Im(f(x + i * h)) / h")],
             source=("nn/gradcheck.py", function("gradcheck", "_complex_step")),
             figure=v_curve_figure(steps, central, complex_step)),
    ], ("complex-step",))
