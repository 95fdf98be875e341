"""The lab book: a page for each experiment, from the record of its run, and an index by the themes of the lectures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gdjax.text import counted

from ...lab import record
from ..docstrings import fenced, markdown, prose

Record = dict[str, Any]

THEMES = {
    "Searches and steps": (
        *("find_the_minimum", "random_guessing", "stop_on_change", "step_size", "steep_start", "starting_points"),
        *("one_sample_mse", "linear_regression", "gradient_flow"),
    ),
    "Batches": ("unbiased_gradient", "batch_size", "noise_escapes", "noise_regularizes", "small_batch_norm"),
    "Momentum and adaptive rates": (
        *("momentum", "three_bowls", "ill_conditioning", "sparse_features", "adam_or_tuned_sgd", "optimizer_race"),
    ),
    "Schedules": ("schedules", "drop_on_plateau", "cyclic_rates"),
    "Minima, saddles, conditioning": (
        *("convexity", "minima_and_saddles", "good_minima", "symmetries", "second_order"),
    ),
    "Models and losses": (
        *("logistic_regression", "hinge_loss", "loss_examples", "why_square", "quadratic_or_cross_entropy"),
        *("optimizing_or_learning", "early_stopping", "dropout_or_noise"),
    ),
    "Backpropagation": (
        *("chain_rule_examples", "vectors_and_matrices", "computational_graph", "backprop_by_hand"),
        *("backprop_is_not_learning", "static_or_dynamic", "graphs_in_torch", "vanishing_chain", "vanishing_gradients"),
    ),
    "Networks": (
        *("one_neuron", "activations", "count_parameters", "two_layers", "two_hidden_layers", "receptive_fields"),
        *("attention", "character_model"),
    ),
    "Beyond the gradient": ("without_gradients", "networks_without_gradients", "spiking"),
}
REST = "More"  # for those that no theme names


def pages(lab: Path) -> dict[str, str | bytes]:
    """The page of every experiment with a record in the folder, its pictures, and the index."""
    kept = {name: found for name in record.names() if (found := record.read(lab, name))}
    made: dict[str, str | bytes] = {"lab/index.md": index_page(kept)}
    for name, one in kept.items():
        shown = [each for each in one["pictures"] if (lab / each["file"]).is_file()]
        made[f"lab/{name}.md"] = page({**one, "pictures": shown})
        made |= {f"lab/{each['file']}": (lab / each["file"]).read_bytes() for each in shown}
    return made


def page(one: Record) -> str:
    """The page of one experiment."""
    parts = [
        f"# {prose(one['question'])}",
        banner(one),
        about(one["doc"]),
        statements(one["statements"]),
        *map(picture, one["pictures"]),
        *map(table, one["tables"]),
        *(fenced(note.strip("\n"), "text") for note in one["notes"]),
        claims(one["claims"]),
        how_to_run(one),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def banner(one: Record) -> str:
    """What stands first on the page of an experiment that did not hold."""
    failed = record.failures(one)
    if one["status"] == "error":
        text = f"This run ended with an error: {prose(one['error'])}"
    elif one["status"] == "failed":
        text = f"**{counted(len(failed), 'claim')} FAILED:** {prose('; '.join(failed))}."
    elif one["changed"]:
        return f":::{{warning}}\nThis run has other numbers than the defaults: `{one['changed']}`.\n:::"
    else:
        return ""
    return f":::{{error}}\n{text}\n:::"


def about(doc: str) -> str:
    """The docstring without its question and without its command."""
    blocks = doc.strip().split("\n\n")[1:]
    return markdown("\n\n".join(block for block in blocks if "python -m experiments." not in block)).strip()


def statements(said: Sequence[dict[str, str]]) -> str:
    """What the lectures say, and what is found here."""
    rows = [(*(prose(each[part]) for part in ("where", "says", "ours")), verdict(each)) for each in said]
    return "## The lectures and here\n\n" + pipes(("where", "the lecture", "here", ""), rows) if rows else ""


def verdict(each: dict[str, str]) -> str:
    """The verdict on a statement, red where it is not the promised one."""
    found, promised = each["verdict"], each.get("promised", each["verdict"])
    if found in record.JUDGED:
        return badge(found, found) if found == promised else badge(f"FAILED: {found}, not {promised}", "wrong")
    return badge(found, "none")


def picture(each: dict[str, str]) -> str:
    """A picture above its caption."""
    caption = prose(each["caption"])
    return f":::{{figure}} {each['file']}\n:alt: {each['caption'] or each['file']}\n\n{caption}\n:::"


def table(each: Record) -> str:
    """A table, its numbers to the right, under its title if it has one."""
    rows = [[prose(cell) for cell in row] for row in each["rows"]]
    title = f"**{prose(each['title'])}**\n\n" if each["title"] else ""
    return title + pipes([prose(cell) for cell in each["head"]], rows, each["right"])


def claims(made: Sequence[Record]) -> str:
    """The claims, each with its verdict."""
    rows = [(badge(one["verdict"], "right" if one["holds"] else "wrong"), prose(one["words"])) for one in made]
    return "## Claims\n\n" + pipes(("", "checked in every run"), rows) if rows else ""


def how_to_run(one: Record) -> str:
    """The command, its options, and what is known of the run that made this page."""
    rows = [(f"`{each['option']}`", f"`{spell(each['default'])}`", prose(each["help"])) for each in one["numbers"]]
    options = pipes(("option", "default", "meaning"), rows) if rows else ""
    versions = ", ".join(f"{name} {version}" for name, version in one["versions"].items())
    cpu = f" ({one['cpu_seconds']:.0f} s of CPU)" if one["cpu_seconds"] else ""
    how = "all of it, by `--full`" if one["full"] else "the short form; `--full` runs all of it, where there is more"
    made = f"This page: {one['date']}, {one['seconds']:.0f} s{cpu}, {how}. {prose(versions)}."
    return "\n\n".join(
        part
        for part in (
            "## Run it",
            fenced(f"{one['command']}\ngdjax lab {one['name']}", "bash"),
            options,
            "Claims are promises about the defaults; with other numbers what fails is told as *not here*."
            if rows
            else "",
            made,
        )
        if part
    )


def index_page(kept: dict[str, Record]) -> str:
    """The experiments by theme, and how many claims there are and fail."""
    count = sum(len(one["claims"]) for one in kept.values())
    failed = sum(len(record.failures(one)) for one in kept.values() if not one["changed"])
    told = Counter(each.get("promised", each["verdict"]) for one in kept.values() for each in one["statements"])
    said = told.total()
    verdicts = [f"{told.pop(each, 0)} {each}" for each in record.JUDGED]
    broken = [name for name, one in kept.items() if one["status"] not in ("held", "not here")]
    missing = [name for name in record.names() if name not in kept]
    lines = [
        "# The lab book",
        "Each experiment asks one question of the lectures, sets our figures beside theirs, and checks what it claims. "
        "`python -m experiments`, or `gdjax lab`, runs all, `gdjax lab step_size` runs one; pictures and records go to the "
        "folder `lab`, or to that of `--out`.",
        f"{counted(len(kept), 'experiment')}, {counted(count, 'claim')}, and {counted(said, 'statement')} of the lectures: "
        f"{', '.join(verdicts)}, {told.total()} without a verdict. Of all {failed} failed.",
    ]
    if broken:
        links = ", ".join(f"[{human(name)}]({name}.md)" for name in broken)
        lines.append(f":::{{error}}\nDid not hold: {links}.\n:::")
    if missing:
        lines.append(f":::{{note}}\nNot run for this book: {', '.join(f'`{name}`' for name in missing)}.\n:::")
    for theme, names in by_theme(kept):
        rows = [(f"[{human(name)}]({name}.md)", prose(kept[name]["question"]), score(kept[name])) for name in names]
        lines += [f"## {theme}", pipes(("experiment", "question", "claims"), rows, (False, False, True))]
        toctree = "\n".join(f"{human(name)} <{name}>" for name in names)
        lines.append(f"```{{toctree}}\n:hidden:\n\n{toctree}\n```")
    return "\n\n".join(lines) + "\n"


def by_theme(kept: dict[str, Record]) -> Iterator[tuple[str, list[str]]]:
    """The themes, and the experiments of each that have a record."""
    themed = {name for names in THEMES.values() for name in names}
    for theme, names in {**THEMES, REST: tuple(name for name in kept if name not in themed)}.items():
        if present := [name for name in names if name in kept]:
            yield theme, present


def score(one: Record) -> str:
    """How many of its claims hold."""
    if one["status"] == "error":
        return badge("error", "wrong")
    failed = len(record.failures(one))
    if failed and one["status"] == "failed":
        return badge(f"{failed} FAILED", "wrong")
    return badge(f"{sum(claim['holds'] for claim in one['claims'])} hold", "right")


def badge(words: str, kind: str) -> str:
    """Words whose color tells the verdict."""
    return f"[{words}]{{.verdict .verdict-{kind}}}"


def pipes(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """A table of Markdown."""
    aligned = [*right, *[False] * (len(head) - len(right))]
    rules = ["---:" if each else ":---" for each in aligned]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in row)} |" for row in (head, rules, *rows))


def human(name: str) -> str:
    """The name of an experiment as words."""
    return name.replace("_", " ").capitalize()


def spell(value: Any) -> str:
    """A default as it is typed."""
    if isinstance(value, list | tuple):
        return " ".join(map(spell, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
