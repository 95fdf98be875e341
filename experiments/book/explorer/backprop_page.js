"use strict";
// The page of the backward pass: its controls, its state, and the drawing of the graph at a step.
{
  const page = document.querySelector(".explorer");
  const one = (selector) => page.querySelector(selector);
  const svg = one(".graph");
  const EXAMPLES = [
    ["The lecture's (x + y) z", "(x + y) * z", { x: -2, y: 5, z: -4 }],
    ["A sigmoid neuron", "1 / (1 + exp(-(w0 * x0 + w1 * x1 + w2)))", { w0: 2, x0: -1, w1: -3, x1: -2, w2: -3 }],
    ["The same neuron, sigmoid as one operation", "sigmoid(w0 * x0 + w1 * x1 + w2)", { w0: 2, x0: -1, w1: -3, x1: -2, w2: -3 }],
    ["A variable used twice: adjoints add up", "x * y + x", { x: 3, y: -4 }],
    ["The larger of two hands the adjoint on", "2 * (max(z, w) + x * y)", { z: 2, w: -1, x: 3, y: -4 }],
    ["A squared error of a line", "(w * x + b - y)^2", { w: 1.5, x: 2, b: 0.5, y: 2 }],
    ["Three sigmoids: the adjoint vanishes", "sigmoid(w * sigmoid(w * sigmoid(w * x)))", { w: 1, x: 2 }],
    ["A dead relu: nothing comes through", "relu(w * x + b) * v", { w: -1, x: 2, b: 0.5, v: 3 }],
  ];
  let state; // {expression, at, step}
  let nodes;
  let playing = null;

  function stateOf(texts) {
    const [, expression, at] = EXAMPLES.find(([, each]) => each === texts.expression) ?? EXAMPLES[0];
    const given = Object.fromEntries((texts.at ?? "").split(",").map((each) => each.split(":")).map(([k, x]) => [k, Number(x)]));
    const own = texts.expression ?? expression;
    const values = own === expression ? { ...at } : {};
    for (const [name, x] of Object.entries(given)) if (name && Number.isFinite(x)) values[name] = x;
    return { expression: own, at: values, step: Math.max(0, Math.round(Number(texts.step)) || 0) };
  }

  function written() {
    const at = gdjax.namesOf(nodes).map((name) => `${name}:${state.at[name]}`);
    return { expression: state.expression, at: at.join(","), step: state.step };
  }

  /** Take an expression: a mistake is told, and the graph before stays. */
  function take(changes) {
    try {
      nodes = gdjax.graph(gdjax.parse(changes.expression ?? state.expression));
    } catch (error) {
      one(".mistake").textContent = error.message;
      one("[name=expression]").value = changes.expression;
      one("[name=expression]").setAttribute("aria-invalid", "true");
      return;
    }
    one(".mistake").textContent = "";
    one("[name=expression]").removeAttribute("aria-invalid");
    state = { ...state, ...changes };
    for (const name of gdjax.namesOf(nodes)) state.at[name] ??= 1;
    state.step = Math.min(state.step, gdjax.stepsOf(nodes).length);
    showInputs();
    draw();
    gdjax.url.write(written());
  }

  function showInputs() {
    const names = gdjax.namesOf(nodes);
    const box = one(".inputs");
    if ([...box.querySelectorAll("input")].map((each) => each.name).join() !== names.join()) {
      box.replaceChildren(...names.map(inputFor));
    }
    for (const input of box.querySelectorAll("input")) {
      if (document.activeElement !== input) input.value = state.at[input.name];
    }
    if (document.activeElement !== one("[name=expression]")) one("[name=expression]").value = state.expression;
    one("[name=example]").value = String(EXAMPLES.findIndex(([, each]) => each === state.expression));
  }

  function inputFor(name) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "number", step: "any", name });
    label.append(`${name} = `, input);
    input.addEventListener("input", () => {
      const value = input.value === "" ? NaN : Number(input.value);
      if (Number.isFinite(value)) take({ at: { ...state.at, [name]: value } });
    });
    return label;
  }

  function draw() {
    const steps = gdjax.stepsOf(nodes);
    const known = gdjax.knownAfter(nodes, state.at, state.step);
    const now = steps[state.step - 1];
    gdjax.drawGraph(svg, nodes, known, now);
    one(".saying").textContent = now ? gdjax.stepInWords(nodes, now, known) : "The values of the variables are given: go forward.";
    if (state.step === steps.length) one(".saying").textContent += ` The gradient: ${gradient(known)}.`;
    one(".count").textContent = `step ${state.step} of ${steps.length}`;
    one("[name=back]").disabled = one("[name=first]").disabled = state.step === 0;
    one("[name=forward]").disabled = one("[name=last]").disabled = state.step === steps.length;
    one("[name=play]").textContent = playing ? "Pause" : "Play";
    svg.setAttribute("aria-label", `The graph of ${state.expression}, step ${state.step} of ${steps.length}.`);
    gdjax.page = { state, nodes, ...known };
  }

  function gradient({ adjoints }) {
    const parts = nodes.flatMap((node, k) => (node.name === undefined ? [] : [`by ${node.name} ${gdjax.short(adjoints[k])}`]));
    return parts.join(", ");
  }

  function go(step) {
    take({ step: Math.min(Math.max(step, 0), gdjax.stepsOf(nodes).length) });
  }

  function pause() {
    clearInterval(playing);
    playing = null;
  }

  function play() {
    const last = gdjax.stepsOf(nodes).length;
    if (playing) pause();
    else {
      if (state.step === last) state.step = 0;
      playing = setInterval(() => {
        if (state.step + 1 >= last) pause();
        go(state.step + 1);
      }, 1000);
    }
    draw();
  }

  function listen() {
    const moves = { first: () => 0, back: () => state.step - 1, forward: () => state.step + 1, last: () => Infinity };
    for (const [name, to] of Object.entries(moves)) {
      one(`[name=${name}]`).addEventListener("click", () => {
        pause();
        go(to());
      });
    }
    one("[name=play]").addEventListener("click", play);
    one(".scroll").addEventListener("keydown", (event) => {
      const to = { ArrowLeft: moves.back, ArrowRight: moves.forward, Home: moves.first, End: moves.last }[event.key];
      if (!to) return;
      event.preventDefault();
      pause();
      go(to());
    });
    one("[name=expression]").addEventListener("input", (event) => {
      pause();
      take({ expression: event.target.value });
    });
    one("[name=example]").addEventListener("change", (event) => {
      const [, expression, at] = EXAMPLES[Number(event.target.value)] ?? ["", state.expression, state.at];
      pause();
      take({ expression, at: { ...at }, step: 0 });
    });
    window.addEventListener("hashchange", restore);
  }

  function restore() {
    state = stateOf(gdjax.url.read());
    one("[name=expression]").value = state.expression;
    nodes = gdjax.graph(gdjax.parse(EXAMPLES[0][1]));
    const { expression, ...rest } = state;
    state.expression = EXAMPLES[0][1];
    state.at = { ...EXAMPLES[0][2], ...state.at };
    take({});
    take({ expression, ...rest });
  }

  one("[name=example]").add(new Option("your own", "-1", false, false));
  EXAMPLES.forEach(([label], k) => one("[name=example]").add(new Option(label, String(k))));
  restore();
  listen();
}
