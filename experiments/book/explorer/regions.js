"use strict";
// The axis of learning rates: a grid of rates, evenly spaced in the logarithm, and how a descent ends at each of them.
{
  const [LOW, HIGH, PER_DECADE] = [-4, 1, 24];

  gdjax.RATES = Array.from({ length: (HIGH - LOW) * PER_DECADE + 1 }, (_, k) =>
    Number((10 ** (LOW + k / PER_DECADE)).toPrecision(3)),
  );

  /** The place of a rate on the grid, not rounded. */
  gdjax.placeOfRate = (rate) => {
    const place = (Math.log10(rate) - LOW) * PER_DECADE;
    return Math.min(gdjax.RATES.length - 1, Math.max(0, place));
  };

  const SLICE = 12; // milliseconds at a time, so that the page answers meanwhile
  let kept = { key: "", kinds: [] }; // the regions of a setting do not change with its rate

  /** Call `done` with the kind of ending at each rate of the grid: at once if that is known or soon computed, else later. */
  gdjax.regions = (setting, done) => {
    const key = JSON.stringify({ ...setting, rate: 0 });
    if (kept.key !== key) kept = { key, kinds: [] };
    const mine = kept;
    const kindAt = (tried) => gdjax.ending(tried, gdjax.descend(tried)).kind;
    const work = () => {
      if (kept !== mine) return; // another setting is asked for
      const end = performance.now() + SLICE;
      while (mine.kinds.length < gdjax.RATES.length && performance.now() < end) {
        mine.kinds.push(kindAt({ ...setting, rate: gdjax.RATES[mine.kinds.length] }));
      }
      if (mine.kinds.length === gdjax.RATES.length) done(mine.kinds);
      else setTimeout(work);
    };
    work();
  };

  /** Equal neighbors as one: [{kind, first, last}]. */
  gdjax.runs = (kinds) => {
    const runs = [];
    kinds.forEach((kind, k) => {
      if (runs.length && runs.at(-1).kind === kind) runs.at(-1).last = k;
      else runs.push({ kind, first: k, last: k });
    });
    return runs;
  };

  /** The regions in words: "converges from 0.0012 to 0.0095". */
  gdjax.regionsInWords = (kinds) => {
    const parts = [];
    for (const { kind, first, last } of gdjax.runs(kinds.map((each) => (each === "swings" ? "converges" : each)))) {
      if (kind === "converges") parts.push({ from: gdjax.RATES[first], to: gdjax.RATES[last] });
    }
    const longest = parts.sort((a, b) => b.to / b.from - a.to / a.from)[0];
    if (!longest) return "At no rate of this axis does it converge within these steps.";
    const range = longest.from === longest.to ? `the rate ${longest.from}` : `rates from ${longest.from} to ${longest.to}`;
    return `Within these steps it converges at ${range}.`;
  };
}
