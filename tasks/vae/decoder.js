"use strict";
// The decoder of tasks/vae/model.py, in its names:  g = relu(W4 z + b4),  p = sigmoid(W5 g + b5).
// W5, the weight of the output layer, is int8 with a scale for each hidden unit.
const decoder = (() => {
  // A decoder out of base64 of gzip; latent_explorer.py says what follows what.
  async function load(base64, { hidden, latent, width }) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k += 1) bytes[k] = text.charCodeAt(k);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const buffer = await new Response(stream).arrayBuffer();
    let start = 0;
    const floats = (n) => {
      const found = new Float32Array(buffer, start, n);
      start += 4 * n;
      return found;
    };
    return {
      hidden, latent, width,
      W4: floats(hidden * latent), b4: floats(hidden), scale: floats(hidden), b5: floats(width),
      W5: new Int8Array(buffer, start, hidden * width), // transposed: (H, D)
      sum: new Float32Array(width),
    };
  }

  // The probabilities p (D) of a code z (Z), written into `p`.
  function decode(net, z, p) {
    const { hidden, latent, width, W4, b4, scale, b5, W5, sum } = net;
    sum.fill(0);
    for (let j = 0; j < hidden; j += 1) {
      let g = b4[j];
      for (let k = 0; k < latent; k += 1) g += W4[j * latent + k] * z[k];
      if (g <= 0) continue; // relu: nothing to add
      g *= scale[j];
      const row = j * width;
      for (let d = 0; d < width; d += 1) sum[d] += g * W5[row + d];
    }
    for (let d = 0; d < width; d += 1) p[d] = 1 / (1 + Math.exp(-sum[d] - b5[d]));
    return p;
  }

  return { load, decode };
})();
