"use strict";
// The page of the descent: its controls, its state, and what is drawn when either changes.
{
  const page = document.querySelector(".explorer");
  const one = (selector) => page.querySelector(selector);
  const [picture, chart, strip, handle] = ["picture", "chart", "regions", "start"].map((name) => one(`.${name}`));
  const NUMBERS = ["decay", "b1", "b2"];
  let state;
  let frame;

  // Scales of the sliders: a learning rate by decades, a decay by the decades of what it forgets.
  const scales = {
    rate: { to: (k) => gdjax.RATES[Math.round(k)], from: gdjax.placeOfRate, least: 1e-12, most: 1e3 },
    steps: { to: (k) => 10 * k, from: (steps) => steps / 10, least: 1, most: 1000 },
  };
  for (const name of NUMBERS) {
    scales[name] = {
      to: (k) => Number((1 - Number((10 ** (-k / 20)).toPrecision(3))).toFixed(8)),
      from: (decay) => -20 * Math.log10(1 - decay),
      least: 0,
      most: 0.99999,
    };
  }

  const limited = (x, low, high, otherwise) => (Number.isFinite(x) ? Math.min(Math.max(x, low), high) : otherwise);
  const numberOf = (text) => (text === undefined || text === "" ? NaN : Number(text));

  /** The state that the texts of an address describe; what is missing or wrong is the default. */
  function stateOf(texts) {
    const landscape = Object.hasOwn(gdjax.landscapes, texts.landscape) ? texts.landscape : "himmelblau";
    const optimizer = Object.hasOwn(gdjax.optimizers, texts.optimizer) ? texts.optimizer : "momentum";
    const known = gdjax.landscapes[landscape];
    const start = (texts.start ?? "").split(",").map(numberOf);
    const valid = start.length === known.start.length && start.every((x) => Math.abs(x) <= 1e6);
    const numbers = { decay: 0.9, b1: 0.9, b2: 0.999 };
    for (const name of NUMBERS) numbers[name] = limited(numberOf(texts[name]), 0, scales[name].most, numbers[name]);
    const rate = limited(numberOf(texts.rate), scales.rate.least, scales.rate.most, 0.01);
    const steps = Math.round(limited(numberOf(texts.steps), 1, 1000, 200));
    return { landscape, optimizer, rate, numbers, start: valid ? start : [...known.start], steps };
  }

  /** The state as it stands in the address: only the numbers that the optimizer has. */
  function written() {
    const numbers = gdjax.optimizers[state.optimizer].numbers.map(({ name }) => [name, state.numbers[name]]);
    const { landscape, optimizer, rate, start, steps } = state;
    return { landscape, optimizer, rate, ...Object.fromEntries(numbers), start: start.join(), steps };
  }

  /** Compute and draw everything that depends on the state. */
  function draw() {
    const landscape = gdjax.landscapes[state.landscape];
    const path = gdjax.descend(state);
    const ending = gdjax.ending(state, path);
    frame = gdjax.drawLandscape(picture, landscape, path);
    gdjax.drawChart(chart, landscape, path);
    const sentence = gdjax.sentence(path, ending);
    one(".ending").textContent = sentence;
    one(".ending").dataset.kind = ending.kind;
    picture.setAttribute("aria-label", `The path on ${landscape.label}. ${sentence}`);
    chart.setAttribute("aria-label", `The loss against the steps: from ${path.values[0]} to ${path.values[path.taken]}.`);
    placeHandle(landscape);
    gdjax.page = { state, path, ending, kinds: null };
    gdjax.regions(state, explain);
  }

  /** Color the axis of rates, and say what the colors mean. */
  function explain(kinds) {
    const { lipschitz } = gdjax.landscapes[state.landscape];
    gdjax.drawRegions(strip, kinds, state.optimizer === "sgd" && lipschitz ? 2 / lipschitz : null);
    const entries = Object.entries(gdjax.KINDS).filter(([kind]) => kinds.includes(kind));
    const entryOf = ([kind, words]) => {
      const entry = Object.assign(document.createElement("span"), { textContent: words });
      entry.style.setProperty("--kind", `var(--${kind})`);
      return entry;
    };
    one(".legend").replaceChildren(...entries.map(entryOf));
    one(".in-words").textContent = gdjax.regionsInWords(kinds);
    gdjax.page.kinds = kinds;
  }

  function placeHandle(landscape) {
    const [x, y] = state.start;
    const value = new Float64Array(1);
    landscape.value(state.start, value);
    const inside = (at, low, high) => Math.min(Math.max(at, low), high);
    handle.style.left = `${inside(frame.x(x), frame.left, frame.right)}px`;
    handle.style.top = `${inside(frame.y(y ?? value[0]), frame.top, frame.bottom)}px`;
    const place = state.start.map((each) => gdjax.short(each)).join(", ");
    handle.setAttribute("aria-label", `Start at ${place}. Drag it, or move it by the arrow keys; with Shift by small steps.`);
  }

  /** Show the state in the controls. */
  function fill() {
    one("[name=landscape]").value = state.landscape;
    one("[name=optimizer]").value = state.optimizer;
    const has = gdjax.optimizers[state.optimizer].numbers.map(({ name }) => name);
    for (const name of Object.keys(scales)) {
      const value = state[name] ?? state.numbers[name];
      one(`[name=${name}-slider]`).value = scales[name].from(value);
      one(`[name=${name}-slider]`).setAttribute("aria-valuetext", String(value));
      if (document.activeElement !== one(`[name=${name}]`)) one(`[name=${name}]`).value = value;
      one(`[data-of=${name}]`).hidden = NUMBERS.includes(name) && !has.includes(name);
    }
    ["x", "y"].forEach((name, i) => {
      if (document.activeElement !== one(`[name=${name}]`)) one(`[name=${name}]`).value = state.start[i] ?? "";
      one(`[data-of=${name}]`).hidden = i >= state.start.length;
    });
    const known = gdjax.landscapes[state.landscape].lowest !== null;
    one(".what").textContent = known ? "The loss above its lowest value, at each step" : "The loss at each step";
    one(".equation").textContent = gdjax.landscapes[state.landscape].equation;
  }

  /** Take changes into the state, and show them. */
  function change(changes) {
    state = { ...state, ...changes };
    fill();
    draw();
    gdjax.url.write(written());
  }

  function changeNumber(name, value) {
    if (NUMBERS.includes(name)) change({ numbers: { ...state.numbers, [name]: value } });
    else change({ [name]: name === "steps" ? Math.round(value) : value });
  }

  function moveTo(point) {
    const limits = gdjax.landscapes[state.landscape].bounds;
    change({ start: point.slice(0, limits.length).map((x, i) => limited(x, ...limits[i], state.start[i])) });
  }

  /** The point under a pointer, with no more digits than a pixel tells. */
  function pointAt(event) {
    const box = picture.getBoundingClientRect();
    const point = [frame.backX(event.clientX - box.left), frame.backY(event.clientY - box.top)];
    return point.map((x) => Number(x.toFixed(3)));
  }

  function listen() {
    one("[name=landscape]").addEventListener("change", (event) =>
      change({ landscape: event.target.value, start: [...gdjax.landscapes[event.target.value].start] }),
    );
    one("[name=optimizer]").addEventListener("change", (event) => change({ optimizer: event.target.value }));
    for (const [name, scale] of Object.entries(scales)) {
      one(`[name=${name}-slider]`).addEventListener("input", (event) => changeNumber(name, scale.to(Number(event.target.value))));
      one(`[name=${name}]`).addEventListener("input", (event) => {
        const value = numberOf(event.target.value);
        if (value >= scale.least && value <= scale.most) changeNumber(name, value);
      });
    }
    ["x", "y"].forEach((name, i) =>
      one(`[name=${name}]`).addEventListener("input", (event) => {
        const value = numberOf(event.target.value);
        if (Math.abs(value) <= 1e6) change({ start: state.start.map((x, k) => (k === i ? value : x)) });
      }),
    );
    page.addEventListener("focusout", fill);
    listenToStart();
    window.addEventListener("hashchange", () => {
      restore();
      picture.scrollIntoView({ block: "nearest" });
    });
    new ResizeObserver(draw).observe(picture);
    new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  function listenToStart() {
    picture.addEventListener("click", (event) => moveTo(pointAt(event)));
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      handle.focus();
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) moveTo(pointAt(event));
    });
    handle.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }[event.key];
      if (!way) return;
      event.preventDefault();
      const part = event.shiftKey ? 0.001 : 0.02;
      const sides = gdjax.landscapes[state.landscape].bounds.map(([low, high]) => high - low);
      moveTo(state.start.map((x, i) => Number((x + way[i] * part * sides[i]).toFixed(6))));
    });
  }

  function restore() {
    state = stateOf(gdjax.url.read());
    fill();
    draw();
  }

  function options(name, table) {
    for (const [value, { label }] of Object.entries(table)) one(`[name=${name}]`).add(new Option(label, value));
  }

  options("landscape", gdjax.landscapes);
  options("optimizer", gdjax.optimizers);
  restore();
  listen();
}
