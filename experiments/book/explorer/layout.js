"use strict";
// Where the nodes of a graph stand: layers from left to right, each node beside its inputs; a long edge keeps a lane free.
{
  /** {places: [{layer, row}], lanes: {"input-node": [{layer, row}]}, layers, rows} of the nodes of a graph. */
  gdjax.layout = (nodes) => {
    const layers = layersOf(nodes);
    const items = nodes.map((_, k) => ({ layer: layers[k], row: 0 }));
    wishedRows(nodes).forEach((row, k) => (items[k].row = row));
    const lanes = {};
    nodes.forEach((node, k) =>
      node.inputs.forEach(({ node: input }) => {
        if (input === undefined) return;
        lanes[`${input}-${k}`] = [];
        for (let layer = layers[input] + 1; layer < layers[k]; layer += 1) {
          const share = (layer - layers[input]) / (layers[k] - layers[input]);
          lanes[`${input}-${k}`].push({ layer, row: items[input].row + share * (items[k].row - items[input].row) });
        }
      }),
    );
    const all = [...items, ...Object.values(lanes).flat()];
    for (let layer = 0; layer <= Math.max(...layers); layer += 1) spread(all.filter((each) => each.layer === layer));
    const top = Math.min(...all.map((each) => each.row));
    all.forEach((each) => (each.row -= top));
    return { places: items, lanes, layers: Math.max(...layers) + 1, rows: Math.max(...all.map((each) => each.row)) + 1 };
  };

  /** An operation stands one layer after the last of its inputs, a variable one before the first that uses it. */
  function layersOf(nodes) {
    const layers = [];
    nodes.forEach((node, k) => {
      layers[k] = Math.max(0, ...node.inputs.map((each) => (each.node === undefined ? 0 : layers[each.node] + 1)));
    });
    nodes.forEach((node, k) => {
      if (node.operation) return;
      const users = nodes.flatMap((other, i) => (other.inputs.some((each) => each.node === k) ? [layers[i]] : []));
      if (users.length) layers[k] = Math.min(...users) - 1;
    });
    return layers;
  }

  /** Variables one below the other in the order of the expression, an operation in the middle of its inputs. */
  function wishedRows(nodes) {
    const rows = [];
    let next = 0;
    nodes.forEach((node, k) => {
      const inputs = node.inputs.flatMap((each) => (each.node === undefined ? [] : [rows[each.node]]));
      rows[k] = inputs.length ? inputs.reduce((a, b) => a + b) / inputs.length : next++;
    });
    return rows;
  }

  /** Push what stands in one layer apart, to a distance of a row, about where it wished to stand. */
  function spread(items) {
    items.sort((a, b) => a.row - b.row);
    const wished = items.map((each) => each.row);
    items.forEach((each, i) => {
      if (i > 0) each.row = Math.max(each.row, items[i - 1].row + 1);
    });
    const shift = items.reduce((total, each, i) => total + each.row - wished[i], 0) / Math.max(1, items.length);
    items.forEach((each) => (each.row -= shift));
  }
}
