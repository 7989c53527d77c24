"use strict";
// RNN, LSTM and GRU, one time step each, to be read beside nn/cells.py: the same names, shapes and order of gates.
// A matrix is an array of rows, a vector an array of numbers. `network` is {weight_ih (G H, 1), weight_hh (G H, H),
// bias_ih (G H), bias_hh (G H), weight (2, H), bias (2)}, with G gates; the input x of a day is one number.
const cells = (() => {
  const GATES = { rnn: 1, lstm: 4, gru: 3 };

  const sigmoid = (a) => 1 / (1 + Math.exp(-a));
  const add = (a, b) => a.map((value, k) => value + b[k]);
  const mul = (a, b) => a.map((value, k) => value * b[k]);
  const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
  const linear = (weight, bias, v) => weight.map((row, k) => dot(row, v) + bias[k]);
  const split = (a, parts) => {
    const size = a.length / parts;
    return Array.from({ length: parts }, (_, k) => a.slice(k * size, (k + 1) * size));
  };

  // W_ih x + b_ih and W_hh h + b_hh, each (G H)
  function products(net, x, h) {
    return [linear(net.weight_ih, net.bias_ih, [x]), linear(net.weight_hh, net.bias_hh, h)];
  }

  // h' = tanh(W_ih x + b_ih + W_hh h + b_hh)
  function RNNCell(net, x, { h }) {
    const [from_x, from_h] = products(net, x, h);
    return { h: add(from_x, from_h).map(Math.tanh) };
  }

  // i, f, o = sigmoid(.)    g = tanh(.)    of    W_ih x + b_ih + W_hh h + b_hh,  in the order i f g o
  // c' = f * c + i * g
  // h' = o * tanh(c')
  function LSTMCell(net, x, state) {
    const [from_x, from_h] = products(net, x, state.h);
    let [i, f, g, o] = split(add(from_x, from_h), 4);
    [i, f, g, o] = [i.map(sigmoid), f.map(sigmoid), g.map(Math.tanh), o.map(sigmoid)];
    const c = add(mul(f, state.c), mul(i, g));
    return { i, f, g, o, c, h: mul(o, c.map(Math.tanh)) };
  }

  // r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh)                      rows in the order r z n
  // n    = tanh(W_in x + b_in + r * (W_hn h + b_hn))
  // h'   = (1 - z) * n + z * h
  function GRUCell(net, x, { h }) {
    const [from_x, from_h] = products(net, x, h);
    const [[rx, zx, nx], [rh, zh, nh]] = [split(from_x, 3), split(from_h, 3)];
    const r = add(rx, rh).map(sigmoid);
    const z = add(zx, zh).map(sigmoid);
    const n = add(nx, mul(r, nh)).map(Math.tanh);
    return { r, z, n, h: add(mul(z.map((value) => 1 - value), n), mul(z, h)) };
  }

  const CELLS = { rnn: RNNCell, lstm: LSTMCell, gru: GRUCell };

  // Signed log1p of new cases, as in data/windows.py.
  const features = (cases) => cases.map((v) => Math.sign(v) * Math.log1p(Math.abs(v)));

  // The state and the gates after each of the inputs x, from a state of zeros if no other is given.
  function read(net, x, state = { h: Array(net.hidden).fill(0), c: Array(net.hidden).fill(0) }) {
    return x.map((value) => (state = CELLS[net.cell](net, value, state)));
  }

  // log p / (1 - p), with p the probability of "more" that the classifier gives after the state h.
  function logitOf(net, h) {
    const [not, more] = linear(net.weight, net.bias, h);
    return more - not;
  }

  // d logit / d x[t] for each day t, by central differences: (f(x + e) - f(x - e)) / 2e.
  function sensitivity(net, x, e = 1e-4) {
    const states = read(net, x); // the days before t need not be read again
    const logit = (t, by) => logitOf(net, read(net, [x[t] + by, ...x.slice(t + 1)], states[t - 1]).at(-1).h);
    return x.map((_, t) => (logit(t, e) - logit(t, -e)) / (2 * e));
  }

  // The arrays of a network out of one row of numbers; they follow one another as ARRAYS of explorer.py says.
  function network(cell, hidden, numbers) {
    const rows = GATES[cell] * hidden;
    let start = 0;
    const vector = (n) => Array.from(numbers.slice(start, (start += n)));
    const matrix = (n, width) => Array.from({ length: n }, () => vector(width));
    return {
      cell, hidden,
      weight_ih: matrix(rows, 1), weight_hh: matrix(rows, hidden), bias_ih: vector(rows), bias_hh: vector(rows),
      weight: matrix(2, hidden), bias: vector(2),
    };
  }

  // Untrained: every number is drawn from U(-1/sqrt(H), 1/sqrt(H)), as in nn/cells.py and nn.Linear.
  function randomNetwork(cell, hidden) {
    const rows = GATES[cell] * hidden;
    const bound = 1 / Math.sqrt(hidden);
    const size = rows * (1 + hidden + 2) + 2 * hidden + 2;
    return network(cell, hidden, Float32Array.from({ length: size }, () => bound * (2 * Math.random() - 1)));
  }

  return { network, randomNetwork, read, logitOf, sensitivity, features, sigmoid };
})();
