"""The README is true: its code runs, its table is fresh. `python -m tests.test_readme` writes the table anew."""

import re
from pathlib import Path

import gdjax as gd
from gdjax.optimizers.catalogue import entry

README = Path(__file__).parents[1] / "README.md"
START, END = r"<!-- optimizers: .*? -->\n", "<!-- end of optimizers -->"


def table() -> str:
    text = ""
    for title, factories in (("optimizer", gd.OPTIMIZERS), ("wrapper", gd.WRAPPERS), ("transform", gd.TRANSFORMS)):
        rows = [f"| {title} | what it does | memory | reference |", "|---|---|---|---|"]
        for factory in factories.values():
            about = entry(factory)
            rows.append(f"| `{about.name}` | {about.summary} | {about.memory} | {about.reference} |")
        text += "\n".join(rows) + "\n\n"
    return text.rstrip("\n") + "\n"


def test_readme_table_of_optimizers_is_fresh():
    match = re.search(f"{START}(.*?){END}", README.read_text(), re.DOTALL)
    assert match is not None and match[1] == table(), "stale: run python -m tests.test_readme"


def test_readme_code_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 6
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    out = capsys.readouterr().out
    assert "mlp((64, 64, 10))" in out and "parameters are kept" in out and "sign_momentum(0.001, decay=0.95)" in out
    assert "CONVERGED after 623 steps" in out and "(3.6, -1.8)" in out and "-1.33333" in out
    assert "layer 1 receives" in out and "a sigmoid passes on at most 0.25" in out


def test_readme_names_every_module():
    text = README.read_text()
    modules = {path.stem for path in Path(gd.__file__).parent.glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in Path(gd.__file__).parent.glob("*/__init__.py")}
    assert not [name for name in modules if f"{name}.py" not in text]
    assert not [name for name in packages if f"{name}/" not in text]


def test_every_experiment_is_named():
    text = README.read_text()
    section = text[text.index("## Experiments") : text.index("## Optimizers")]
    named = set(re.findall(r"`(\w+)`", section))
    assert named == {path.stem for path in (README.parent / "experiments").glob("*.py")} - {"__init__", "lab"}


if __name__ == "__main__":
    text = README.read_text()
    README.write_text(re.sub(f"({START}).*?({END})", lambda m: m[1] + table() + m[2], text, flags=re.DOTALL))
