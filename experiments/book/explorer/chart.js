"use strict";
// Beside the landscape: the loss against the steps; and under the slider of the rate, the regions of its axis.
{
  /** Draw the loss of a path against its steps: its logarithm over the lowest value, where that is known. */
  gdjax.drawChart = (canvas, landscape, path) => {
    const { context, width, height } = gdjax.cleared(canvas);
    const known = landscape.lowest !== null;
    const heights = Array.from(path.values.subarray(0, path.taken + 1), (x) => (known ? Math.log10(x - landscape.lowest) : x));
    const range = known ? logRange(heights) : linearRange(heights);
    const frame = gdjax.frame(width, height, [46, 40], [0, Math.max(1, path.taken)], range);
    gdjax.inside(context, frame, () => {
      context.strokeStyle = gdjax.color("path");
      context.lineWidth = 2;
      context.beginPath();
      heights.forEach((y, t) => context.lineTo(frame.x(t), frame.y(Math.min(Math.max(y, range[0] - 1e3), range[1] + 1e3))));
      context.stroke();
    });
    const steps = gdjax.ticks(0, Math.max(1, path.taken), 4).filter(Number.isInteger);
    const ticks = known
      ? gdjax.ticks(...range, 6).filter(Number.isInteger).map((k) => [k, `1e${k}`.replace("-", "−")])
      : gdjax.ticks(...range, 6).map((y) => [y, gdjax.short(y)]);
    gdjax.drawAxes(context, frame, steps.map((t) => [t, String(t)]), ticks);
    context.textAlign = "center";
    context.fillText("step", (frame.left + frame.right) / 2, frame.bottom + 28);
  };

  function logRange(heights) {
    const finite = heights.filter(Number.isFinite);
    const high = Math.min(Math.max(...finite, 0), (finite[0] ?? 0) + 8);
    const low = Math.max(Math.min(...finite, high - 1), -17);
    const [bottom, top] = [Math.floor(low), Math.max(Math.ceil(high), Math.floor(low) + 1)];
    return [bottom - 0.03 * (top - bottom), top + 0.03 * (top - bottom)];
  }

  function linearRange(heights) {
    const finite = heights.filter(Number.isFinite);
    const scale = 10 * Math.max(1, Math.abs(finite[0] ?? 1));
    const [low, high] = [Math.max(Math.min(...finite), -scale), Math.min(Math.max(...finite), scale)];
    const margin = 0.05 * Math.max(high - low, 1e-9 * Math.abs(high), 1e-12);
    return [low - margin, high + margin];
  }

  /** Color the axis of rates; a mark stands at the largest stable rate, where theory has one. */
  gdjax.drawRegions = (canvas, kinds, stable) => {
    const { context, width, height } = gdjax.cleared(canvas);
    const place = (k) => (k / (kinds.length - 1)) * width;
    for (const { kind, first, last } of gdjax.runs(kinds)) {
      const [from, to] = [place(first - 0.5), place(last + 0.5)].map(Math.round);
      context.fillStyle = gdjax.color(kind);
      context.fillRect(from, 0, to - from, 14);
    }
    context.fillStyle = context.strokeStyle = gdjax.color("text");
    context.textBaseline = "top";
    const decades = Math.round(Math.log10(gdjax.RATES.at(-1) / gdjax.RATES[0]));
    for (let k = 0; k <= decades; k += 1) {
      if (width < 300 && k % 2 !== decades % 2) continue;
      context.textAlign = k === 0 ? "left" : k === decades ? "right" : "center";
      context.fillText(String(gdjax.RATES[(k * (kinds.length - 1)) / decades]), (k / decades) * width, 18);
    }
    if (stable) {
      const x = place(gdjax.placeOfRate(stable));
      context.fillRect(x - 1, 0, 2, 14);
      context.textAlign = "center";
      context.fillText("2/L", x, height - 12);
    }
  };
}
