"use strict";
// The picture of a landscape: contours in two variables or a curve in one, and the path of a descent over it.
{
  const BANDS = 18;
  const out = new Float64Array(1);
  let kept = { key: "" }; // the contours that were drawn last

  /** The frame of a landscape in a canvas of this size. */
  gdjax.frameOf = (landscape, width, height) => {
    const [xs, ys] = landscape.bounds;
    return gdjax.frame(width, height, [40, 24], xs, ys ?? heights(landscape));
  };

  /** Draw a landscape and a path; returns the frame. */
  gdjax.drawLandscape = (canvas, landscape, path) => {
    const { context, width, height } = gdjax.cleared(canvas);
    const frame = gdjax.frameOf(landscape, width, height);
    const flat = landscape.bounds.length === 1;
    if (flat) drawCurve(context, landscape, frame);
    else context.drawImage(contours(canvas, landscape, frame), 0, 0, width, height);
    gdjax.inside(context, frame, () => {
      landscape.minima.forEach((x) => drawMinimum(context, frame.x(x[0]), frame.y(flat ? valueAt(landscape, x) : x[1])));
      drawPath(context, frame, path);
    });
    const [xs, ys] = [landscape.bounds[0], landscape.bounds[1] ?? heights(landscape)];
    const named = (range) => gdjax.ticks(...range, 5).map((x) => [x, gdjax.short(x)]);
    gdjax.drawAxes(context, frame, named(xs), named(ys));
    return frame;
  };

  function valueAt(landscape, point) {
    landscape.value(point, out);
    return out[0];
  }

  /** The range of values of a curve, with a margin. */
  function heights(landscape) {
    const [low, high] = landscape.bounds[0];
    const values = Array.from({ length: 201 }, (_, k) => valueAt(landscape, [low + ((high - low) * k) / 200]));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return [least - 0.06 * (most - least), most + 0.06 * (most - least)];
  }

  function drawCurve(context, landscape, frame) {
    gdjax.inside(context, frame, () => {
      context.beginPath();
      for (let px = frame.left; px <= frame.right; px += 1) {
        context.lineTo(px, frame.y(valueAt(landscape, [frame.backX(px)])));
      }
      context.strokeStyle = gdjax.color("curve");
      context.lineWidth = 2;
      context.stroke();
    });
  }

  /** The contours of a landscape as an image of the canvas's size, drawn again only when something has changed. */
  function contours(canvas, landscape, frame) {
    const colors = ["low", "high", "contour"].map(gdjax.color);
    const key = [landscape.label, canvas.width, canvas.height, ...colors].join();
    if (kept.key === key) return kept.image;
    const image = document.createElement("canvas");
    [image.width, image.height] = [canvas.width, canvas.height];
    const context = image.getContext("2d");
    const pixels = context.createImageData(image.width, image.height);
    const scale = canvas.width / canvas.clientWidth;
    const [levels, shades] = [levelsOf(landscape, frame), shadesOf(colors[0], colors[1])];
    const line = rgb(colors[2]);
    let above = [];
    for (let row = Math.round(frame.top * scale); row < Math.round(frame.bottom * scale); row += 1) {
      const bands = [];
      for (let column = Math.round(frame.left * scale); column < Math.round(frame.right * scale); column += 1) {
        const band = bandOf(levels, valueAt(landscape, [frame.backX((column + 0.5) / scale), frame.backY((row + 0.5) / scale)]));
        const isLine = bands.length > 0 && (band !== bands.at(-1) || (above.length > 0 && band !== above[bands.length]));
        pixels.data.set(isLine ? line : shades[band], 4 * (row * image.width + column));
        bands.push(band);
      }
      above = bands;
    }
    context.putImageData(pixels, 0, 0);
    kept = { key, image };
    return image;
  }

  /** The values between the bands: quantiles over the picture, closer to one another near the lowest. */
  function levelsOf(landscape, frame) {
    const values = [];
    for (let i = 0; i <= 60; i += 1) {
      for (let j = 0; j <= 60; j += 1) {
        const px = frame.left + ((frame.right - frame.left) * i) / 60;
        const py = frame.top + ((frame.bottom - frame.top) * j) / 60;
        values.push(valueAt(landscape, [frame.backX(px), frame.backY(py)]));
      }
    }
    values.sort((a, b) => a - b);
    return Array.from({ length: BANDS - 1 }, (_, k) => values[Math.round(((k + 1) / BANDS) ** 1.6 * (values.length - 1))]);
  }

  function bandOf(levels, value) {
    let band = 0;
    while (band < levels.length && value > levels[band]) band += 1;
    return band;
  }

  function rgb(hex) {
    return [...[1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)), 255];
  }

  function shadesOf(low, high) {
    const [a, b] = [rgb(low), rgb(high)];
    return Array.from({ length: BANDS }, (_, k) => a.map((x, i) => Math.round(x + ((b[i] - x) * k) / (BANDS - 1))));
  }

  function drawMinimum(context, x, y) {
    context.strokeStyle = gdjax.color("minimum");
    context.lineWidth = 2;
    context.beginPath();
    [[-1, -1, 1, 1], [-1, 1, 1, -1]].forEach(([a, b, c, d]) => {
      context.moveTo(x + 4 * a, y + 4 * b);
      context.lineTo(x + 4 * c, y + 4 * d);
    });
    context.stroke();
  }

  function drawPath(context, frame, path) {
    const places = [];
    for (let t = 0; t <= path.taken; t += 1) {
      const x = path.points[path.n * t];
      const y = path.n === 1 ? path.values[t] : path.points[path.n * t + 1];
      if (Number.isFinite(x) && Number.isFinite(y)) places.push([frame.x(x), frame.y(y)]);
    }
    context.strokeStyle = gdjax.color("path");
    context.fillStyle = gdjax.color("path");
    context.lineWidth = 1.5;
    context.beginPath();
    places.forEach(([x, y]) => context.lineTo(x, y));
    context.stroke();
    places.forEach(([x, y], t) => {
      context.beginPath();
      context.arc(x, y, t === places.length - 1 ? 4.5 : 2, 0, 2 * Math.PI);
      context.fill();
    });
  }
}
