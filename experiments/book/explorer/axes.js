"use strict";
// What both pictures of a descent share: a canvas at the screen's resolution, colors of the theme, axes, short numbers.
{
  /** A number in at most four digits, with a real minus. */
  gdjax.short = (x) => {
    if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞";
    const small = Math.abs(x) < 1e-3 || Math.abs(x) >= 1e5;
    const text = x === 0 ? "0" : small ? x.toExponential(2).replace(/\.?0+e/, "e") : String(Number(x.toPrecision(4)));
    return text.replaceAll("-", "−").replace("e+", "e");
  };

  /** The value of a color of the theme. */
  gdjax.color = (name) => getComputedStyle(document.querySelector(".explorer")).getPropertyValue(`--${name}`).trim();

  /** An empty canvas of its size on the screen: {context, width, height}, in units of the page. */
  gdjax.cleared = (canvas) => {
    const [width, height, ratio] = [canvas.clientWidth, canvas.clientHeight, window.devicePixelRatio || 1];
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
    context.font = "11px sans-serif";
    return { context, width, height };
  };

  /** Round numbers from low to high, about `count` of them. */
  gdjax.ticks = (low, high, count) => {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((each) => each * power >= rough);
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k += 1) found.push(k * step);
    return found;
  };

  /** A frame: the plot's place in a canvas, and maps of both coordinates onto it. */
  gdjax.frame = (width, height, [left, bottom], [x0, x1], [y0, y1]) => {
    const box = { left, top: 8, right: width - 10, bottom: height - bottom };
    return {
      ...box,
      x: (x) => box.left + ((x - x0) / (x1 - x0)) * (box.right - box.left),
      y: (y) => box.bottom - ((y - y0) / (y1 - y0)) * (box.bottom - box.top),
      backX: (px) => x0 + ((px - box.left) / (box.right - box.left)) * (x1 - x0),
      backY: (py) => y0 + ((box.bottom - py) / (box.bottom - box.top)) * (y1 - y0),
    };
  };

  /** The border and the numbers of a frame; a tick is [value, text]. */
  gdjax.drawAxes = (context, frame, xTicks, yTicks) => {
    context.strokeStyle = gdjax.color("axis");
    context.fillStyle = gdjax.color("text");
    context.lineWidth = 1;
    context.strokeRect(frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top);
    context.textBaseline = "top";
    context.textAlign = "center";
    xTicks.forEach(([x, text]) => context.fillText(text, frame.x(x), frame.bottom + 5));
    context.textBaseline = "middle";
    context.textAlign = "right";
    yTicks.forEach(([y, text]) => context.fillText(text, frame.left - 5, frame.y(y)));
  };

  /** Draw only inside of a frame. */
  gdjax.inside = (context, frame, draw) => {
    context.save();
    context.beginPath();
    context.rect(frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top);
    context.clip();
    draw();
    context.restore();
  };
}
