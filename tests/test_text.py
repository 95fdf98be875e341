"""Tables and hints, as all rooms say them."""

import importlib
import subprocess
import sys
import types

import pytest

import gdjax as gd
from gdjax import optimizers, text
from gdjax.calls import is_factory
from gdjax.first_touch import import_on_first_touch


def test_a_table_is_as_wide_as_its_cells():
    rows = [("name", "value", ""), ("a", "-1.5", "so"), ("longer name", "22", "")]
    assert text.table(rows, right=(1,)).splitlines() == [
        "name         value",
        "a             -1.5  so",
        "longer name     22",
    ]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cosin", "did you mean 'cosine'?"),
        ("COSINE", "did you mean 'cosine'?"),
        ("zzz", "one of cosine, Linear, or a number"),
        ("linaer", "did you mean 'Linear'?"),
    ],
)
def test_the_name_that_was_meant(name, said):
    assert text.did_you_mean(name, ("cosine", "Linear"), ", or a number") == said


def test_the_face():
    """All of it is there and is what its place has; what a program has not touched is not imported; the tables are whole."""
    program = (
        "import sys, gdjax; heavy = 'backprop certify data laws losses models planes plots problems runs search '\n"
        "heavy += 'solve training optimizers.first_order optimizers.of_optax'\n"
        "assert not {f'gdjax.{room}' for room in heavy.split()} & set(sys.modules) and 'matplotlib' not in sys.modules\n"
        "gdjax.adam, gdjax.fit\n"
        "assert not {'gdjax.optimizers.first_order.lion', 'gdjax.training.failure'} & set(sys.modules)\n"
        "assert set(gdjax.ON_FIRST_TOUCH) | set(gdjax.__all__) <= set(dir(gdjax)) and 'convert' in dir(gdjax.data)\n"
        "names = {}; exec('from gdjax import *', names)\n"
        "assert set(gdjax.__all__) <= set(names) and names['minimize'] is gdjax.minimize is gdjax.solve.minimize\n"
        "assert gdjax.runs.__name__ == 'gdjax.runs' and gdjax.__version__[0].isdigit() and gdjax.data.convert"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert len(set(gd.__all__)) == len(gd.__all__)
    for package in (gd, gd.data, gd.optimizers, gd.runs, gd.training):
        assert set(getattr(package, "__all__", ())) <= {*vars(package), *package.ON_FIRST_TOUCH}
        for name, place in package.ON_FIRST_TOUCH.items():
            module, found = importlib.import_module(place), getattr(package, name)
            assert found is (module if place == f"{package.__name__}.{name}" else getattr(module, name)), name
    made = {name for name in optimizers.__all__ if is_factory(getattr(optimizers, name))}
    assert set(gd.OPTIMIZERS) | set(gd.WRAPPERS) | set(gd.TRANSFORMS) | set(gd.optimizers.LIFTED) <= made
    with pytest.raises(AttributeError, match="no attribute 'adamm'"):
        _ = gd.adamm


def test_a_package_without_its_source_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "bare", types.ModuleType("bare"))
    with pytest.raises(ImportError, match="bare needs its source"):
        import_on_first_touch("bare")


def test_letters_that_changed_places_are_the_nearest():
    assert text.near("adma", ("adamax", "adam", "adan")) == "adam" and text.near("slpit", ("spit", "split")) == "split"
