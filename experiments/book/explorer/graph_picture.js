"use strict";
// The picture of a graph: edges, nodes, the value above each node and the adjoint below it, the step taken in color.
{
  const [WIDE, HIGH, MARGIN] = [110, 92, 52];

  /** Draw a graph into an svg element; `now` is the step just taken, or undefined. */
  gdjax.drawGraph = (svg, nodes, known, now) => {
    const { places, lanes, layers, rows } = gdjax.layout(nodes);
    const size = [(layers - 1) * WIDE + 2 * MARGIN, (rows - 1) * HIGH + 2 * MARGIN];
    svg.setAttribute("viewBox", `0 0 ${size.join(" ")}`);
    svg.style.minWidth = `${0.75 * size[0]}px`;
    svg.style.maxWidth = `${1.25 * size[0]}px`;
    const at = ({ layer, row }) => [MARGIN + layer * WIDE, MARGIN + row * HIGH];
    const [edges, labels, circles] = [[], [], []];
    nodes.forEach((node, k) => {
      node.inputs.forEach((input, i) => {
        if (input.node === undefined) return;
        const active = now && now.phase !== "seed" && now.node === k;
        const twice = node.inputs.length === 2 && node.inputs[0].node === node.inputs[1].node ? (i ? 14 : -14) : 0;
        const points = [places[input.node], ...lanes[`${input.node}-${k}`], places[k]].map(at);
        edges.push(element("path", { d: curve(points, twice), class: active ? `edge ${now.phase}` : "edge" }));
        if (active && now.phase === "backward") labels.push(...localLabel(points, known.locals[k][i], twice));
      });
      circles.push(...nodeOf(node, at(places[k]), known.values[k], known.adjoints[k], now && now.node === k ? now.phase : ""));
    });
    svg.replaceChildren(...edges, ...circles, ...labels);
    if (now) show(svg, at(places[now.node])[0] / size[0]);
  };

  /** Scroll a wide picture to the step that is taken, at this part of its width. */
  function show(svg, part) {
    const box = svg.parentElement;
    box.scrollLeft = part * box.scrollWidth - 0.6 * box.clientWidth;
  }

  function element(name, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /** A smooth line through points from left to right. */
  function curve(points, bend) {
    let text = `M ${points[0].join(" ")}`;
    for (let i = 1; i < points.length; i += 1) {
      const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
      const middle = (x0 + x1) / 2;
      text += ` C ${middle} ${y0 + bend} ${middle} ${y1 + bend} ${x1} ${y1}`;
    }
    return text;
  }

  /** The local derivative, in a box on the last part of its edge. */
  function localLabel(points, local, bend) {
    const [[x0, y0], [x1, y1]] = points.slice(-2);
    const [x, y, text] = [(x0 + x1) / 2, (y0 + y1) / 2 + 0.75 * bend, gdjax.short(local)];
    const wide = 10 + 8 * text.length;
    const box = { x: x - wide / 2, y: y - 10, width: wide, height: 20, rx: 4, class: "local" };
    return [element("rect", box), element("text", { x, y, class: "local" }, text)];
  }

  function nodeOf(node, [x, y], value, adjoint, phase) {
    const wide = Math.max(34, 12 + 8.5 * node.label.length);
    const kind = `${node.operation ? "operation" : "variable"} ${phase}`;
    const box = { x: x - wide / 2, y: y - 16, width: wide, height: 32, rx: node.operation ? 16 : 4, class: kind };
    const parts = [element("rect", box), element("text", { x, y, class: "name" }, node.label)];
    if (value !== undefined) parts.push(element("text", { x, y: y - 25, class: "value" }, gdjax.short(value)));
    if (adjoint !== undefined) parts.push(element("text", { x, y: y + 27, class: "adjoint" }, gdjax.short(adjoint)));
    return parts;
  }
}
