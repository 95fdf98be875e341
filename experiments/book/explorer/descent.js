"use strict";
// A descent: the points that an optimizer visits on a landscape, by gdjax's own rules in double precision.
{
  const FAR = 1000; // widths of the picture; what is farther away has diverged

  /**
   * The path of a setting {landscape, optimizer, rate, numbers, start, steps}.
   * Returns {n, taken, points, values, left}: points[n t + i], values[t] for t = 0..taken; left if it has gone far away.
   */
  gdjax.descend = (setting) => {
    const landscape = gdjax.landscapes[setting.landscape];
    const optimizer = gdjax.optimizers[setting.optimizer];
    const n = landscape.start.length;
    const step = optimizer.steps[n];
    const state = optimizer.states[n];
    const out = new Float64Array(n + state.length);
    const input = new Float64Array(out.length + n + 1 + optimizer.numbers.length);
    const slope = new Float64Array(1 + n);
    const points = new Float64Array(n * (setting.steps + 1));
    const values = new Float64Array(setting.steps + 1);
    const sides = landscape.bounds.map(([low, high]) => [(low + high) / 2, FAR * (high - low)]);
    out.set(setting.start);
    out.set(state, n);
    input.set([setting.rate, ...optimizer.numbers.map((each) => setting.numbers[each.name])], out.length + n);
    let left = false;
    let t = 0;
    for (; ; t += 1) {
      for (let i = 0; i < n; i += 1) points[n * t + i] = out[i];
      landscape.slope(out, slope);
      values[t] = slope[0];
      left = !Number.isFinite(slope[0]);
      for (let i = 0; i < n; i += 1) left ||= !(Math.abs(out[i] - sides[i][0]) <= sides[i][1]);
      if (left || t === setting.steps) break;
      input.set(out);
      for (let i = 0; i < n; i += 1) input[out.length + i] = slope[1 + i];
      step(input, out);
    }
    return { n, taken: t, points, values, left };
  };
}
