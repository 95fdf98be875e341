"""report.html: the assessment of a run on one page, which needs no other file, no network and no script."""

from __future__ import annotations

import importlib.resources
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gdjax.runs import tuning
from gdjax.runs.assessment._assess import Assessment
from gdjax.runs.assessment.classes import OfClass, OfClasses
from gdjax.runs.assessment.coefficients import Coefficients
from gdjax.runs.assessment.numbers import OfNumbers
from gdjax.runs.assessment.wording import brief, measure_words, percent, rounded
from gdjax.tables.cells import needs
from gdjax.tables.pixels import described
from gdjax.types import Stop

if TYPE_CHECKING:
    from gdjax.runs.config import RunConfig
    from gdjax.runs.work import Work
    from gdjax.training import Result

MOST_CLASSES = 30  # that are shown at once
MOST_TERMS = 8  # of an equation
WHY = {
    Stop.BUDGET: "It ran to its full length of {epochs:g} epochs.",
    Stop.PATIENCE: "The validation loss had not improved for long enough: it ended after {epochs:g} epochs.",
    Stop.CONVERGED: "It converged after {epochs:g} epochs.",
    Stop.TARGET: "It reached its target after {epochs:g} epochs.",
}


def render(
    folder: Path, work: Work, result: Result, found: Assessment | None, pictures: Mapping[str, Any], scores: Any
) -> str:
    """The page of a run.

    Args:
        folder: of the run, for the commands.
        found: None where there are no test rows.
        pictures: those of the run folder, by their file.
        scores: part of the data -> name -> value.
    """
    said = {"folder": shlex.quote(str(folder)), "work": work, "result": result, "found": found, "scores": scores}
    said |= {"why": _why(result), "versions": versions_of(work.config), "pictures": _drawn(work, found, pictures)}
    said |= {"tiles": _tiles(found), "checks": _checks(work, found), "equation": _equation(found)}
    said["most_tried"] = tuning.MOST_ROWS
    return fill("gdjax.runs.assessment", said | _classes(found))


def fill(package: str, said: Mapping[str, Any]) -> str:
    """The page.html of a package with these values, in the style of all reports."""
    jinja2, read = needs("jinja2"), lambda name, file: importlib.resources.files(name).joinpath(file).read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(brief=brief, percent=percent, words=measure_words, value=value, svg=_svg)
    environment.filters.update(described=described)
    style = needs("markupsafe").Markup(read("gdjax.runs.assessment", "style.css"))
    return environment.from_string(read(package, "page.html")).render(said, style=style)


def _svg(picture: Any, themed: bool = True) -> Any:
    from gdjax.runs.assessment.pictures import svg

    return needs("markupsafe").Markup(svg(picture, themed))


def value(x: float | None, digits: int = 4) -> str:
    """A number as it is read, or a dash."""
    if x is None or not np.isfinite(x):
        return "–"
    return rounded(x, abs(x) * 10.0 ** (2 - digits)) if x else "0"


def _why(result: Result) -> str:
    """Why the run has ended, and of which epoch the parameters are."""
    best = result.best_evaluation
    said = WHY.get(result.stop, f"It ended {result.stop.name} after {{epochs:g}} epochs.").format(epochs=result.epochs)
    if not result.run_state.best:
        said += " The parameters are the last, the nearest to the minimum of the loss on the training rows."
    elif best >= 0 and result.monitor.startswith("validation"):
        epoch = result.history["epoch"][best]
        said += (
            f" The parameters are those of epoch {epoch:g}, of the least {result.monitor} ({result.best_value:.4g})."
        )
    return said


def versions_of(config: RunConfig) -> str:
    """The versions that the numbers depend on."""
    import sklearn

    versions = {**config.versions, "scikit-learn": sklearn.__version__}
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def _tiles(found: Assessment | None) -> list[tuple[str, str, str, str]]:
    """(name, value, interval, what it is) of the most important scores."""
    if found is None:
        return []
    own = found.standings[0].scores
    tiles = [(name, own[name]) for name in ("accuracy", "log_loss", "rmse", "mae") if name in own]
    if isinstance(found.scores, OfClasses):
        tiles.append(("auc", found.scores.auc))
    else:
        tiles.insert(1, ("r2", found.scores.r2))
    said = [(measure_words(name), *_parts(brief(each, name)), EXPLAINED[name]) for name, each in tiles]
    if isinstance(found.scores, OfClasses) and found.scores.calibration is not None:
        each = found.scores.calibration
        said.append(
            ("calibration error", percent(each.error), f"up to {percent(each.by_chance)} by chance", EXPLAINED["error"])
        )
    if isinstance(found.scores, OfNumbers) and found.scores.coverage is not None:
        each = found.scores.coverage
        said.append((f"{each.level:.0%} intervals cover", *_parts(brief(each.share, "share")), EXPLAINED["coverage"]))
    if (members := found.disagreement) is not None:
        name, each = next(iter(members.measures.items()))
        said.append((f"{members.members} members differ", *_parts(brief(each, PERCENT.get(name, ""))), EXPLAINED[name]))
    return said


PERCENT = {"rows_apart": "share"}
EXPLAINED = {
    "accuracy": "share of rows whose class is right",
    "log_loss": "mean of −log(probability of the true class); 0 is perfect",
    "rmse": "root of the mean squared error, in units of the target",
    "mae": "mean absolute error, in units of the target",
    "r2": "share of the variance that is explained; 0 is the mean",
    "auc": "how well rows of a class are ranked above others; 0.5 is chance",
    "error": "by which probabilities are off on average",
    "coverage": "of the test rows",
    "rows_apart": "on the class of so many test rows",
    "spread": "standard deviation between them, in units of the target",
}


def _parts(said: str) -> tuple[str, str]:
    """The value and its interval of what `brief` says."""
    head, _, tail = said.partition(" (")
    return head, tail.removesuffix(")")


def _checks(work: Work, found: Assessment | None) -> list[tuple[bool, str]]:
    """What speaks for trusting the run, and what against it."""
    if found is None:
        return [(False, "there are no test rows: how good it is on new rows is not known")]
    said = [(True, f"judged on {len(found.cases.y):,} test rows, which neither trained nor chose anything")]
    lead = next(iter(found.standings[1].lead.values()))
    if not found.alarm:
        score = next(iter(found.standings[1].lead))
        said.append(
            (True, f"better than {found.standings[1].name} alone: {measure_words(score)} by {brief(lead, score)}")
        )
    if isinstance(found.scores, OfClasses):
        each = found.scores.calibration
        if each is not None and each.is_good and not work.config.class_weights:
            said.append(
                (
                    True,
                    f"its probabilities mean what they say: they are off by {percent(each.error)}, as chance explains",
                )
            )
    elif found.scores.coverage is not None and found.scores.coverage.is_right:
        coverage = found.scores.coverage
        said.append(
            (True, f"its {coverage.level:.0%} intervals cover {brief(coverage.share, 'share')} of the test rows")
        )
    said += [(False, each) for each in found.caveats]
    remarks = len(work.problem.understanding.remarks)
    return [*said, (False, f"{remarks} remark{'s' * (remarks > 1)} on the table, see below")] if remarks else said


def _classes(found: Assessment | None) -> dict[str, list[OfClass]]:
    """The classes that are shown at once, the worst of them if they are many, and the rest."""
    if found is None or not isinstance(found.scores, OfClasses):
        return {"classes": [], "more_classes": []}
    classes = list(found.scores.classes)
    if len(classes) > MOST_CLASSES:
        classes.sort(key=lambda each: np.nan_to_num(each.f1))
    return {"classes": classes[:MOST_CLASSES], "more_classes": classes[MOST_CLASSES:]}


def _equation(found: Assessment | None) -> str:
    """The fitted line as a text; of many terms the first."""
    if found is None or found.coefficients is None:
        return ""
    first, *rest = found.coefficients.coefficients
    terms = [f" {'−' if each.value < 0 else '+'} {value(abs(each.value))} · {each.name}" for each in rest[:MOST_TERMS]]
    more = f" + … ({len(rest) - MOST_TERMS} more)" if len(rest) > MOST_TERMS else ""
    return f"{found.coefficients.of} = {value(first.value)}{''.join(terms)}{more}"


def _drawn(work: Work, found: Assessment | None, pictures: Mapping[str, Any]) -> dict[str, Any]:
    """The pictures by their place on the page."""
    from gdjax.runs.assessment import pictures as draw

    drawn = {name.removesuffix(".png"): picture for name, picture in pictures.items()}
    if found is None:
        return drawn
    drawn["standings"] = draw.standings(found.standings)
    if found.importance is not None:
        drawn["importance"] = draw.importances(found.importance)
    if isinstance(found.scores, OfNumbers):
        y, predicted, target = found.cases.y, found.outcome.predicted, work.config.data.target
        drawn["predictions"] = draw.predictions(y, predicted, found.scores.low, found.scores.high, target)
        drawn["residuals"] = draw.residuals(y, predicted, target)
    elif found.scores.calibration is not None:
        drawn["calibration"] = draw.calibration(found.scores.calibration)
    if found.coefficients is not None and (line := _line(work, found.coefficients)) is not None:
        drawn["line"] = line
    return drawn


def _line(work: Work, found: Coefficients) -> Any:
    """The picture of a line over one number without missing cells."""
    from gdjax.runs.assessment import pictures as draw
    from gdjax.tables.cells import cells_of, numbers

    columns, rows = work.problem.understanding.columns, work.problem.rows.train
    if [each.kind for each in columns] != ["number"] or len(found.coefficients) != 2 or found.coefficients[1].note:
        return None
    x, y = numbers(cells_of(work.problem.table.frame, columns[0].name))[0][rows], work.problem.y[rows]

    def curve(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        z = np.stack([np.ones(len(grid)), grid], axis=1)
        middle = z @ [each.value for each in found.coefficients]
        half = 1.96 * np.sqrt(np.einsum("ni,ij,nj->n", z, found.covariance, z))
        ends = middle, middle - half, middle + half
        return tuple(1 / (1 + np.exp(-each)) for each in ends) if work.subject.classes else ends  # type: ignore[return-value]

    name = found.of.replace("log odds", "probability", 1) if work.subject.classes else found.of
    return draw.line(x, y, curve, (columns[0].name, name))
