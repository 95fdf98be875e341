"use strict";
// The walk over a graph: forward through its operations, once to the result, and backward through them.
{
  /** The steps: {phase: "forward" | "seed" | "backward", node}. */
  gdjax.stepsOf = (nodes) => {
    const operations = gdjax.operationsOf(nodes);
    return [
      ...operations.map((node) => ({ phase: "forward", node })),
      { phase: "seed", node: nodes.length - 1 },
      ...operations.reverse().map((node) => ({ phase: "backward", node })),
    ];
  };

  /** What is known after `count` steps: values and adjoints that are not known yet are undefined. */
  gdjax.knownAfter = (nodes, at, count) => {
    const { values, locals } = gdjax.forward(nodes, at);
    const operations = gdjax.operationsOf(nodes);
    const seen = new Set(operations.slice(0, count));
    const shown = values.map((value, k) => (!nodes[k].operation || seen.has(k) ? value : undefined));
    const back = count - operations.length - 1;
    return { values: shown, locals, adjoints: back < 0 ? [] : gdjax.backward(nodes, locals, back) };
  };

  const signed = (x) => (x < 0 ? `(${gdjax.short(x)})` : gdjax.short(x));

  /** One step in words. */
  gdjax.stepInWords = (nodes, { phase, node: k }, { values, locals, adjoints }) => {
    const short = gdjax.short;
    const node = nodes[k];
    if (phase === "seed") return "Backward begins at the result: its derivative by itself is 1.";
    const name = (input) => nodes[input].name ?? `the input from ${nodes[input].label}`;
    const inputs = node.inputs.map((each) => each.number ?? values[each.node]);
    if (phase === "forward") return `Forward through ${node.label}: ${formula(node, inputs)} = ${short(values[k])}.`;
    const parts = node.inputs.flatMap((each, i) => {
      if (each.node === undefined) return [];
      return [`to ${name(each.node)} it hands ${signed(adjoints[k])} · ${signed(locals[k][i])} = ${short(adjoints[k] * locals[k][i])}`];
    });
    return `Backward through ${node.label}, whose adjoint is ${short(adjoints[k])}: ${parts.join("; ")}.`;
  };

  function formula(node, inputs) {
    const [a, b] = inputs.map((x, i) => (i > 0 || node.operation === "pow" || node.operation === "neg" ? signed(x) : gdjax.short(x)));
    const sign = { add: "+", sub: "−", mul: "·", div: "/", pow: "^" }[node.operation];
    if (sign) return `${a} ${sign} ${b}`;
    if (node.operation === "neg") return `−${a}`;
    return `${node.operation}(${inputs.map(gdjax.short).join(", ")})`;
  }
}
