"use strict";
// The text of an expression as a tree: {number}, {name}, or {operation, inputs}. A mistake is one sentence, thrown.
{
  const FUNCTIONS = ["exp", "log", "sin", "cos", "tanh", "sigmoid", "relu", "max"];
  const SYMBOLS = { "+": "add", "-": "sub", "*": "mul", "/": "div", "^": "pow" };

  gdjax.parse = (text) => {
    const tokens = tokensOf(text);
    let at = 0;
    const next = () => tokens[at];
    const fail = (what) => {
      const token = next();
      const found = token.text === "" ? "the expression ends" : `there is "${token.text}"`;
      throw new Error(`At character ${token.at + 1} ${found}, but ${what}.`);
    };
    const take = (symbol, what) => {
      if (next().text !== symbol) fail(what);
      at += 1;
    };

    function sum() {
      let left = product();
      while (["+", "-"].includes(next().text)) {
        const operation = SYMBOLS[tokens[at++].text];
        left = { operation, inputs: [left, product()] };
      }
      return left;
    }

    function product() {
      let left = signed();
      while (["*", "/"].includes(next().text)) {
        const operation = SYMBOLS[tokens[at++].text];
        left = { operation, inputs: [left, signed()] };
      }
      return left;
    }

    function signed() {
      if (next().text === "-") {
        at += 1;
        return { operation: "neg", inputs: [signed()] };
      }
      return power();
    }

    function power() {
      const base = atom();
      if (next().text !== "^") return base;
      at += 1;
      return { operation: "pow", inputs: [base, signed()] };
    }

    function atom() {
      const token = next();
      if (token.kind === "number") {
        at += 1;
        return { number: Number(token.text) };
      }
      if (token.kind === "name") {
        at += 1;
        return FUNCTIONS.includes(token.text) ? call(token.text) : { name: token.text };
      }
      take("(", "a number, a name or an opening parenthesis is expected");
      const inner = sum();
      take(")", "a closing parenthesis is missing");
      return inner;
    }

    function call(operation) {
      take("(", `${operation} takes its argument in parentheses`);
      const inputs = [sum()];
      while (inputs.length < gdjax.operations[operation].inputs) {
        take(",", `${operation} takes two arguments, with a comma between them`);
        inputs.push(sum());
      }
      take(")", "a closing parenthesis is missing");
      return { operation, inputs };
    }

    const tree = sum();
    if (next().kind === "name" || next().kind === "number" || next().text === "(") fail("a product is written with *");
    if (next().text !== "") fail("an operation or the end is expected");
    return tree;
  };

  function tokensOf(text) {
    const tokens = [];
    const pattern = /\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\*\*)|([-+*/^(),]))|\s*(\S)/gy;
    let match;
    while ((match = pattern.exec(text))) {
      const [whole, number, name, stars, symbol, other] = match;
      const at = match.index + whole.length - whole.trimStart().length;
      if (other !== undefined) throw new Error(`At character ${at + 1} there is "${other}", which has no meaning here.`);
      const kind = number !== undefined ? "number" : name !== undefined ? "name" : "symbol";
      tokens.push({ kind, text: number ?? name ?? (stars ? "^" : symbol), at });
    }
    tokens.push({ kind: "end", text: "", at: text.length });
    return tokens;
  }
}
