"use strict";
// How a descent ended, read off its path: one of the kinds below, and a sentence.
{
  const NEAR = 0.01; // of the picture's width, along every axis
  const MORE = 2000; // steps by which a path whose swings grow is followed further, to see whether they stay bounded

  gdjax.KINDS = {
    converges: "converges",
    swings: "converges, swinging",
    elsewhere: "stops at another point",
    slow: "still on its way",
    oscillates: "oscillates",
    diverges: "diverges",
    falls: "falls without end",
  };

  /** {kind, step, where, swings, grows} of the path of a setting. */
  gdjax.ending = (setting, path) => {
    const landscape = gdjax.landscapes[setting.landscape];
    const swings = doesSwing(path);
    const low = landscape.lowest ?? Math.min(...path.values);
    const [first, middle, last] = peaksOf(path, 3).map((x) => x - low);
    const grows = !path.left && swings && last > 1.1 * middle && middle > 1.1 * first;
    const far = grows ? gdjax.descend({ ...setting, steps: setting.steps + MORE }) : path;
    if (far.left) {
      const fell = far.values[far.taken] < far.values[0];
      return { kind: fell ? "falls" : "diverges", step: far.taken, swings, grows };
    }
    if (grows) return { kind: arrival(landscape, far) ? "slow" : "oscillates", step: path.taken, swings, grows };
    const found = arrival(landscape, path);
    if (found) return { ...found, kind: found.kind === "converges" && swings ? "swings" : found.kind, swings };
    if (!swings) return { kind: "slow", step: path.taken, swings };
    const [before, then, now] = peaksOf(path, path.taken < 24 ? 3 : 12).slice(-3).map((x) => x - low);
    const settles = before > then && then > now && now < 0.98 * before;
    return { kind: settles ? "slow" : "oscillates", step: path.taken, swings };
  };

  /** The known point of zero gradient that the path has reached and stays at, with the step of its arrival; or null. */
  function arrival(landscape, path) {
    const targets = [...landscape.minima.map((x) => ["converges", x]), ...landscape.stationary.map((x) => ["elsewhere", x])];
    for (const [kind, where] of targets) {
      let t = path.taken;
      while (t >= 0 && isNear(landscape, path, t, where)) t -= 1;
      if (path.taken - t > 5) return { kind, step: t + 1, where };
    }
    return null;
  }

  function isNear(landscape, path, t, where) {
    return where.every((x, i) => {
      const [low, high] = landscape.bounds[i];
      return Math.abs(path.points[path.n * t + i] - x) <= NEAR * (high - low);
    });
  }

  /** Whether a quarter of the later steps turn back, or go up. */
  function doesSwing(path) {
    const from = Math.max(2, Math.floor(path.taken / 2));
    const { n, points, values } = path;
    let count = 0;
    for (let t = from; t <= path.taken; t += 1) {
      let product = 0;
      for (let k = n * t; k < n * t + n; k += 1) product += (points[k] - points[k - n]) * (points[k - n] - points[k - 2 * n]);
      if (product < 0 || values[t] > values[t - 1]) count += 1;
    }
    return 4 * count >= Math.max(1, path.taken - from + 1);
  }

  /** The largest values of the loss in each part of the path, of this many. */
  function peaksOf(path, parts) {
    const peaks = new Array(parts).fill(-Infinity);
    for (let t = 0; t <= path.taken; t += 1) {
      const part = Math.floor((parts * t) / (path.taken + 1));
      peaks[part] = Math.max(peaks[part], path.values[t]);
    }
    return peaks;
  }

  /** The ending as a sentence. */
  gdjax.sentence = (path, ending) => {
    const at = ending.where && `(${ending.where.map((x) => gdjax.short(x)).join(", ")})`;
    const steps = (count) => (count === 1 ? "1 step" : `${count} steps`);
    const swinging = ending.swings ? ", swinging from side to side" : "";
    const [first, last] = [path.values[0], path.values[path.taken]].map((x) => gdjax.short(x));
    const beyond = ending.grows ? ", after those shown," : "";
    switch (ending.kind) {
      case "converges":
      case "swings":
        if (ending.step === 0) return `Starts at the minimum ${at} and stays there.`;
        return `Converges after ${steps(ending.step)}${swinging}: from there on it is within 1 % of the picture's width of the minimum ${at}.`;
      case "elsewhere":
        if (ending.step === 0) return `Stays at ${at}, where the gradient is zero, but which is not the lowest point.`;
        return `Stops after ${steps(ending.step)} at ${at}, where the gradient is zero, but which is not the lowest point.`;
      case "slow":
        return `Still on its way after ${steps(path.taken)}${swinging}: the loss went from ${first} to ${last}.`;
      case "oscillates":
        if (ending.grows) return `Oscillates as far as it was followed: in ${steps(path.taken)} its swings have grown, and ${MORE} more do not lead out of reach.`;
        return `Oscillates: after ${steps(path.taken)} it still swings, and the loss, now ${last}, does not settle.`;
      case "falls":
        return `Falls without end: at step ${ending.step}${beyond} it is a thousand widths of the picture away, and lower than where it began.`;
      default:
        if (ending.grows) return `Diverges: its swings grow, and at step ${ending.step}${beyond} it is a thousand widths of the picture away.`;
        return `Diverges at step ${ending.step}: by then it is a thousand widths of the picture away.`;
    }
  };
}
