"""The pictures of a run on a text: its learning curves, and its nats for each unit beside those of n-gram models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from gdjax.plots import curves, style
from gdjax.plots.style import BLUE, FAINT, INK, MUTED, SMALL
from gdjax.runs.language.judging import Judgment

if TYPE_CHECKING:
    from gdjax.runs.language.work import LanguageWork
    from gdjax.training import Result


def pictures(work: LanguageWork, result: Result) -> dict[str, Any]:
    """The pictures of the run folder, by their file."""
    best = result.best_evaluation if result.best_evaluation >= 0 and result.run_state.best else None
    label = f"cross-entropy (nats per {work.text.unit[:-1]})"
    title = f"{work.corpus.name}: {work.job.objective.model}"
    return {"curves.png": curves(result.history, best, title, "accuracy", loss_label=label)}


def ladder(found: Judgment) -> Figure:
    """A bar for each model, the best at the top."""
    models = [(f"{order}-gram", nats, FAINT) for order, nats in found.others.items()] + [("this run", found.own, BLUE)]
    models.sort(key=lambda each: -each[1])
    names, nats, colors = zip(*models, strict=True)
    picture = style.figure(2.4)
    axes = picture.subplots()
    style.dress(axes)
    axes.barh(range(len(nats)), nats, color=colors, height=0.62)
    axes.set_yticks(range(len(nats)), names, color=INK)
    for place, value in enumerate(nats):
        axes.annotate(f"{value:.3f}", (value, place), (4, 0), textcoords="offset points", va="center", size=SMALL)
    axes.set_xlim(0, max(nats) * 1.12)
    axes.set_xlabel(f"nats per {found.unit} on the validation share (less is better)", color=MUTED)
    return picture
