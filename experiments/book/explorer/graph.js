"use strict";
// An expression as a graph of operations, its values forward and its adjoints backward. Equal parts are one node.
{
  const MOST = 60;
  const SIGNS = { add: "+", sub: "−", mul: "×", div: "/", pow: "^" };

  /** The graph of a tree: nodes in an order in which each comes after its inputs. The last is the result. */
  gdjax.graph = (tree) => {
    const nodes = [];
    const known = new Map();

    function enter(node, key) {
      if (!known.has(key)) {
        known.set(key, nodes.length);
        nodes.push(node);
      }
      if (nodes.length > MOST) throw new Error(`The graph has more than ${MOST} nodes, too many for a picture.`);
      return { node: known.get(key) };
    }

    function visit(part) {
      if (part.number !== undefined) return part;
      if (part.name !== undefined) return enter({ name: part.name, label: part.name, inputs: [] }, part.name);
      const inputs = part.inputs.map(visit);
      if (inputs.every((each) => each.number !== undefined)) return { number: apply(part.operation, inputs.map((x) => x.number))[0] };
      const key = `${part.operation} ${inputs.map((each) => JSON.stringify(each)).join(" ")}`;
      return enter({ operation: part.operation, label: labelOf(part.operation, inputs), inputs }, key);
    }

    const result = visit(tree);
    if (result.node === undefined) throw new Error("The expression has no variable, so that there is nothing to derive.");
    return nodes;
  };

  /** The name of an operation in the picture; a constant input stands in it: "+ 1", "1 /". */
  function labelOf(operation, inputs) {
    const sign = SIGNS[operation];
    const [a, b] = inputs.map((each) => (each.number === undefined ? "" : gdjax.short(each.number)));
    if (operation === "neg") return "−1 ×";
    if (!sign) return [operation, a, b].filter(Boolean).join(" ");
    return `${a} ${sign} ${b}`.trim();
  }

  /** [value, derivative by each input] of an operation. */
  function apply(operation, inputs) {
    const out = new Float64Array(1 + inputs.length);
    gdjax.operations[operation].derivatives(inputs, out);
    return Array.from(out);
  }

  /** The values of all nodes, and for every operation the local derivatives by its inputs. */
  gdjax.forward = (nodes, at) => {
    const values = [];
    const locals = [];
    nodes.forEach((node, k) => {
      if (node.name !== undefined) values[k] = at[node.name];
      else {
        const [value, ...local] = apply(node.operation, node.inputs.map((x) => x.number ?? values[x.node]));
        values[k] = value;
        locals[k] = local;
      }
    });
    return { values, locals };
  };

  /** The adjoints after the first `count` operations, counted from the result, have handed theirs on; undefined: not yet. */
  gdjax.backward = (nodes, locals, count) => {
    const adjoints = [];
    adjoints[nodes.length - 1] = 1;
    for (const k of gdjax.operationsOf(nodes).reverse().slice(0, count)) {
      nodes[k].inputs.forEach((input, i) => {
        if (input.node !== undefined) adjoints[input.node] = (adjoints[input.node] ?? 0) + adjoints[k] * locals[k][i];
      });
    }
    return adjoints;
  };

  gdjax.operationsOf = (nodes) => nodes.flatMap((node, k) => (node.operation ? [k] : []));
  gdjax.namesOf = (nodes) => nodes.flatMap((node) => (node.name !== undefined ? [node.name] : []));
}
