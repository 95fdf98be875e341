"""The page of a run, from the table to the browser."""

import contextlib
import html
import io
import json
import re
import shutil

import jax
import numpy as np
import pandas
import pytest
from sklearn import metrics
from sklearn.linear_model import LinearRegression

import gdjax as gd
from gdjax.cli import main as entry
from gdjax.runs import defaults, tuning
from gdjax.runs.assessment import baselines, importance

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = ["a", "<script>alert(1)</script>", '$x_1$ & "q"', "</style><img src=x onerror=alert(2)>"]
SMALL = ["--tune", "none", "--hidden", "4", "--ensemble", "1", "--epochs", "2"]


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """The folder of a run on pure noise under hostile names, from the command line, and what it said on stderr."""
    place, random = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    cells = [*random.normal(size=(3, 500)), random.choice(["<b>a</b>", "{{ 7 * 7 }}", "-->"], 500)]
    frame = pandas.DataFrame(dict(zip(HOSTILE, cells, strict=True)))
    frame["y <!--"] = random.choice(["<script>x</script>", "&amp;"], 500)
    frame.to_csv(place / "noise.csv", index=False)
    quiet = contextlib.redirect_stdout(io.StringIO())
    with pytest.MonkeyPatch.context() as patch, quiet, contextlib.redirect_stderr(io.StringIO()) as said:
        patch.setattr(entry, "_use_compilation_cache", lambda: None)
        with pytest.raises(SystemExit, match=r"^0$"):
            entry.main(["train", str(place / "noise.csv"), "--out", str(place / "run"), *SMALL])
    jax.config.update("jax_default_device", None)
    return place / "run", said.getvalue()


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    """(run, training table, test table) of a linear regression with intervals."""
    place, random = tmp_path_factory.mktemp("prices"), np.random.default_rng(1)
    frame = pandas.DataFrame(
        {"area": random.normal(80, 20, 1700).round(1), "city": random.choice(["Ulm", "Bonn"], 1700)}
    )
    frame["price"] = 2000 * frame["area"] + 9000 * (frame["city"] == "Bonn") + random.normal(0, 2e4, 1700).round(2)
    train, test = place / "train.csv", place / "test.csv"
    frame[:1400].to_csv(train, index=False)
    frame[1400:].to_csv(test, index=False)
    options = {"model": "linear_regression", "test": str(test), "target": "price"}
    return gd.runs.train(str(train), out=place / "run", **options), train, test


def test_the_answer_of_a_regression_is_that_of_its_predictions(prices):
    run, train, test = prices
    found, y = run.result["assessment"], pandas.read_csv(test)["price"].to_numpy()
    predicted = run.predict(str(test))
    own, mean, linear, trees = found["models"]
    for name, right in (("rmse", metrics.root_mean_squared_error), ("mae", metrics.mean_absolute_error)):
        assert own["scores"][name]["value"] == pytest.approx(right(y, predicted["prediction"]), rel=1e-5)
    assert found["r2"]["value"] == pytest.approx(metrics.r2_score(y, predicted["prediction"]), rel=1e-5)
    inside = np.mean((predicted["low"] <= y) & (y <= predicted["high"]))
    assert found["coverage"]["share"]["value"] == pytest.approx(inside) and abs(inside - 0.9) < 0.1
    low, high = found["coverage"]["share"]["interval"]
    assert low < inside < high
    options = gd.runs.TrainOptions(target="price", test=str(test))
    problem = gd.runs.pose(str(train), options)
    rows = problem.table.frame.iloc[problem.rows.train]
    x = np.stack([rows["area"], rows["city"] == "Bonn"], axis=1).astype(float)
    exact = LinearRegression().fit(x, rows["price"])
    by_hand = {"area": exact.coef_[0], "city": exact.coef_[1]}
    fitted = {each["name"].split("=")[0]: each for each in found["coefficients"]["coefficients"]}
    sign = 1 if "city=Bonn" in {each["name"] for each in found["coefficients"]["coefficients"]} else -1
    errors = np.diag(np.linalg.inv(np.cov(x.T, ddof=0))) / len(x)
    s2 = np.sum((rows["price"] - exact.predict(x)) ** 2) / (len(x) - 3)
    for name, times, variance in zip(("area", "city"), (1, sign), errors, strict=True):
        assert fitted[name]["value"] == pytest.approx(times * by_hand[name], rel=1e-3)
        assert fitted[name]["error"] == pytest.approx(np.sqrt(s2 * variance), rel=1e-3)
    assert mean["scores"]["rmse"]["value"] == pytest.approx(np.sqrt(np.mean((y - rows["price"].mean()) ** 2)), rel=1e-6)
    for other in (mean, linear, trees):
        ahead = other["scores"]["rmse"]["value"] - own["scores"]["rmse"]["value"]
        assert other["lead"]["rmse"]["value"] == pytest.approx(ahead, rel=1e-6, abs=1e-6)
    assert (mean["verdict"], linear["verdict"], found["alarm"]) == ("better", "no clear difference", "")
    assert trees["lead"]["rmse"]["value"] > 0 and linear["scores"]["rmse"]["value"] == pytest.approx(2e4, rel=0.2)
    importance = {each["column"]: each["value"] for each in found["importance"]["columns"]}
    assert importance["area"] > 10 * importance["city"] > 0
    assert [each["column"] for each in found["importance"]["columns"]] == ["area", "city"]


def test_a_run_on_noise_says_so_first(noise):
    folder, said = noise
    assert "\ngdjax: NO BETTER THAN CHANCE: " in f"\n{said}"
    page = (folder / "report.html").read_text()
    texts = [html.unescape(each).strip() for each in re.findall(r">([^<]+)<", page[page.index("<body>") :])]
    assert next(each for each in texts if each).startswith("NO BETTER THAN CHANCE")
    assert json.loads((folder / "result.json").read_text())["assessment"]["alarm"].startswith("NO BETTER")


def test_names_and_cells_stay_text(noise):
    page = (noise[0] / "report.html").read_text()
    body = page[page.index("<body>") :]
    for name in HOSTILE:
        assert html.escape(name, quote=False).replace('"', "&#34;") in body
    assert "<script" not in page and "<img" not in body and "<b>a</b>" not in body
    assert "{{ 7 * 7 }}" in body and body.count("</style>") == body.count("<style")
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page) and "@import" not in page and "url(http" not in page


def test_a_notebook_shows_the_report(noise, prices):
    for run in (gd.runs.load(noise[0]), prices[0]):
        shown = run._repr_html_()
        assert html.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1]) == (run.folder / "report.html").read_text()


def test_quick_leaves_other_models_and_columns_out(noise):
    data, out = noise[0].parent / "noise.csv", noise[0].parent / "quick"
    weighed = {"classes": "&amp;=9,<script>x</script>=1", "threshold": 0.95}
    run = gd.runs.train(data, out=out, quick=True, tune="none", hidden=(4,), ensemble=1, epochs=2, **weighed)
    found = run.result["assessment"]
    most = pandas.read_csv(data)["y <!--"].mode()[0]
    assert found["models"][1]["how"] == f"always answering {most!r}"
    assert found["models"][1]["scores"]["accuracy"]["value"] > 0.5
    assert found["alarm"] in gd.runs.shown(run) and "rows count by the weights of their classes" in gd.runs.shown(run)
    assert [each["name"] for each in found["models"]] == ["this run", "the most frequent class"]
    assert "importance" not in found and "left out by --quick" in (out / "report.html").read_text()


@pytest.mark.parametrize("tune", ["none", pytest.param("grid", marks=pytest.mark.nightly)])
def test_samples_of_a_large_table_are_told(noise, monkeypatch, tune):
    """Other models, tuning and importance see a sample by the seed, whose size the page says; all test rows judge."""
    for module, name, value in (
        *((baselines, "MOST_ROWS", 300), (tuning, "MOST_ROWS", 300), (defaults, "DECAYS", (0.1, 1.0))),
        *((importance, "MOST_ROWS", 60), (importance, "LEAST_ROWS", 1)),
    ):
        monkeypatch.setattr(module, name, value)
    folder = noise[0].parent / tune
    options = {"tune": tune, "numbers": "standardized", "hidden": (4,), "ensemble": 1, "epochs": 2}
    with pytest.warns(UserWarning, match="NO BETTER THAN CHANCE"):
        found = gd.runs.train(noise[0].parent / "noise.csv", out=folder, **options).result
    page = (folder / "report.html").read_text()
    assert "the other models saw a sample of 300 of the 350 training rows" in found["assessment"]["remarks"][0]
    assert "The other models saw a sample of 300 of the 350 training rows, drawn by the seed" in page
    assert "Measured on a sample of 60 of 75 test rows, drawn by the seed" in page
    tried = "Tried on a sample of 300 of the 350 training rows, drawn by the seed" in page
    assert found["assessment"]["rows"] == 75 and tried == (tune == "grid") and len(found["trials"]) == 2 * tried


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_pages_open_in_a_browser_without_a_network_or_an_error(noise, prices):
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(offline=True, viewport={"width": 1280, "height": 800})
        page, wrong = context.new_page(), []
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.on(
            "request", lambda request: wrong.append(request.url) if request.url[:5] not in ("file:", "data:") else None
        )
        for folder, figures in ((noise[0], 5), (prices[0].folder, 5)):
            page.goto((folder / "report.html").as_uri())
            assert page.locator("figure svg").count() == figures
            for each in page.locator("figure svg").all():
                assert each.bounding_box()["width"] > 300
            assert page.evaluate("document.documentElement.scrollWidth") <= 1280  # nothing sticks out
            first_screen = page.locator("h1, .tile, .list li").all()[:6]
            assert all(each.bounding_box()["y"] < 800 for each in first_screen)
        browser.close()
    assert wrong == []
