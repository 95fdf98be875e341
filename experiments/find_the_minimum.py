"""How do three searches find a minimum: by trying both sides, by the sign of the derivative, by the derivative itself?

    python -m experiments.find_the_minimum [--out pictures]

The lecture starts at 16.5, takes steps of 0.01 and finds the minimum 2 after 1450 steps with either of the first two
searches. It names neither the function nor the learning rate; here they are (x - 2)² and 0.01, and the stop is |f'| <=
1e-4. Two more starts and steps show how the count arises: distance / step for the first two searches, and ln(|f'| / 1e-4) /
rate' for the gradient. Computed in double precision, in which the fixed steps end within 1e-9 of 2. Expected: 1450, 1450,
623 steps. About 5 s.
"""

from __future__ import annotations

import math

import gdjax as gd
from gdjax.plots import descent
from gdjax.search import fixed_step, sign_step
from gdjax.stopping import gradient_norm

from .lab import Lab


def f(x):
    return (x - 2.0) ** 2


CASES = [(16.5, 0.01), (-3.0, 0.01), (16.5, 0.1)]


def searches(start: float, step: float) -> dict[str, gd.Minimum]:
    return {
        "try both sides": gd.minimize(f, start, fixed_step(step), record=True),
        "sign of f'": gd.minimize(f, start, sign_step(step), record=True),
        "gradient": gd.minimize(f, start, gd.sgd(step), stop=gradient_norm(1e-4), record=True),
    }


def predict_steps(method: str, start: float, step: float) -> int:
    """The expected number of steps: the first two move by one step each, descent multiplies the slope by 1 - 2 step."""
    if method == "gradient":
        return math.ceil(math.log(1e-4 / abs(2 * (start - 2))) / math.log(1 - 2 * step))
    return round(abs(start - 2) / step)


def main() -> None:
    with Lab(__doc__) as lab:
        found = {case: searches(*case) for case in CASES}
        lecture = {"try both sides": 1450, "sign of f'": 1450}
        rows = [
            (
                f"{start:g}",
                step,
                name,
                r.steps,
                lecture.get(name, "") if (start, step) == CASES[0] else "",
                r.params,
                r.stop.name,
            )
            for (start, step), results in found.items()
            for name, r in results.items()
        ]
        lab.table(("start", "step", "search", "steps", "lecture", "found", "stop"), rows)
        first = found[CASES[0]]
        lab.claim(
            "both fixed-step searches take the lecture's 1450 steps",
            [r.steps for r in first.values()][:2] == [1450, 1450],
        )
        lab.claim("the gradient takes 623 steps", first["gradient"].steps == 623)
        lab.claim(
            "every count is what arithmetic says",
            all(
                r.steps == predict_steps(name, *case) for case, results in found.items() for name, r in results.items()
            ),
        )
        fixed = [r for results in found.values() for name, r in results.items() if name != "gradient"]
        lab.claim("fixed steps end within 1e-9 of 2", all(abs(r.params - 2) < 1e-9 for r in fixed))
        title = "From 16.5 to 2: equal steps end at once, the gradient's shrink"
        lab.save(descent(first, 0.0, title, label="(x − 2)²"), "find_the_minimum.png")


if __name__ == "__main__":
    main()
