"""The class notebooks run from the first cell to the last."""

import ast
import json

import jax
import pytest

from experiments.notebooks import NOTEBOOKS, copy_to

QUICK = "bowls"


def run(cells: list[str]) -> list:
    """What the last line of each cell gives, where it is an expression."""
    names: dict = {}
    shown = []
    for cell in cells:
        *lines, last = ast.parse(cell).body
        exec(compile(ast.Module(lines, []), "cell", "exec"), names)
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
        else:
            exec(compile(ast.Module([last], []), "cell", "exec"), names)
    return shown


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=[pytest.mark.nightly] * (p.stem != QUICK)) for p in NOTEBOOKS]
)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = json.loads(path.read_text())
    code = ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in content["cells"]), "notebooks are kept without outputs"
    try:
        shown = run(code)
    finally:
        jax.config.update("jax_enable_x64", False)
    assert any(hasattr(each, "_repr_png_") or hasattr(each, "_repr_html_") for each in shown), "a picture is shown"
    assert len(shown) >= 2


def test_notebooks_are_copied_and_none_is_overwritten(tmp_path):
    (tmp_path / "bowls.ipynb").write_text("mine")
    made = copy_to(tmp_path)
    assert {path.stem for path in made} == {path.stem for path in NOTEBOOKS} - {"bowls"}
    assert (tmp_path / "bowls.ipynb").read_text() == "mine"
