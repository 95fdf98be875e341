"""The explorers in Chromium, from disk with the network off, held against gdjax in double precision."""

import contextlib
import html
import re
import shutil
import statistics

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from experiments.book.explorer.emitter import emit
from experiments.book.explorer.export import LANDSCAPES, OPTIMIZERS
from experiments.book.explorer.pages import document
from experiments.book.generators import explorer_pages

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
STEPS = 200
EXPRESSIONS = {  # as the page reads them, with values of their variables
    "(x + y) * z": {"x": -2, "y": 5, "z": -4},
    "1 / (1 + exp(-(w0 * x0 + w1 * x1 + w2)))": {"w0": 2, "x0": -1, "w1": -3, "x1": -2, "w2": -3},
    "x * y + x": {"x": 3, "y": -4},
    "x ^ 2 ^ 1.5 - 2 ^ x / y": {"x": 1.3, "y": 0.7},
    "max(x * y, y) * relu(x - y)": {"x": 1.7, "y": 0.4},
    "log(1 + exp(a)) - tanh(b * a)": {"a": 0.8, "b": -1.1},
    "sin(x) * cos(y) / (x - -y)": {"x": 0.3, "y": 2.1},
    "sigmoid(w * sigmoid(w * sigmoid(w * x)))": {"w": 1.2, "x": 2},
    "-x^2 + (-x)^3 * .5e1": {"x": 1.5},
    "a - b - c / d / e": {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5},
}
NAMES = {
    name: getattr(jnp, name, None) or getattr(jax.nn, name)
    for name in ("exp", "log", "sin", "cos", "tanh", "sigmoid", "relu")
} | {"max": jnp.maximum}


def test_an_operation_that_is_not_known_stops_the_build():
    with pytest.raises(NotImplementedError, match="'erf' has no JavaScript yet"):
        emit(jax.lax.erf, 1.0)
    text = emit(lambda x: jnp.stack([jnp.sum(x**3), 2.0 * x[1]]) * 1.0, np.ones(2))
    assert text.count("const") == 8 and "out[1] = t" in text  # x0, x1, their squares and cubes, the sum, the product


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the files that the generator gives, and the explorers as pages without the book around them."""
    place = tmp_path_factory.mktemp("site")
    files = explorer_pages.pages(place) | {f"explorer/{name}.html": document(name) for name in ("descent", "backprop")}
    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    return place / "explorer"


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, site):
    """visit(name, hash, **options of the window) -> the page, which says nothing on its console and asks for nothing."""
    wrong = []
    with contextlib.ExitStack() as stack:

        def visit(name, hash="", **options):
            context = browser.new_context(offline=True, **{"viewport": {"width": 800, "height": 1000}, **options})
            stack.callback(context.close)
            page = context.new_page()
            page.on("console", lambda message: wrong.append(message.text))
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on(
                "request",
                lambda request: wrong.append(request.url) if request.url[:5] not in ("file:", "data:") else None,
            )
            page.goto((site / f"{name}.html").as_uri() + hash)
            return page

        yield visit
    assert wrong == []


def fragment(setting):
    """The part of the address that describes a setting."""
    return "#" + "&".join(f"{name}={value}" for name, value in setting.items())


def path_of(setting, scale=0.0):
    """The path of gdjax, (steps + 1, variables), from the start moved by this part of the picture's width."""
    problem, rule = PROBLEMS[setting["landscape"]], OPTIMIZERS[setting["optimizer"]]
    widths = np.diff(np.asarray(problem.bounds), axis=1)[:, 0]
    start = np.array([float(x) for x in setting["start"].split(",")]) + scale * widths
    optimizer = rule.factory(setting["rate"], *(setting[name] for name in rule.numbers))
    start = start.reshape(np.shape(problem.start))
    with jax.enable_x64(True):
        options = {"args": problem.args, "stop": gd.stopping.never(), "max_steps": STEPS, "record": True}
        found = gd.minimize(problem.f, start, optimizer, **options)
    return np.reshape(found.path.params, (-1, len(widths))), widths


OPEN = """async (hash) => {
    const changed = new Promise((resolve) => addEventListener("hashchange", resolve, { once: true }));
    location.hash = hash;
    await changed;
    while (!gdjax.page.kinds) await new Promise(requestAnimationFrame);
    return Array.from(gdjax.page.path.points);
}"""
PROBLEMS = {name: factory() for name, (_, factory) in LANDSCAPES.items()}


def fifty_settings():
    """Random settings whose path is no amplifier: moved by 1e-12 of the picture's width at its start, it moves by 1e-10.

    A page rounds at other places than XLA does, by 1e-16 a step; where a path amplifies a small change no more than a
    hundredfold, what 200 steps gather stays below 1e-11, a hundredth of what is asked. Elsewhere (RMSProp about a minimum,
    a rate near the largest) paths part after a few hundred steps by any amount, in any two programs.
    """
    random, settings = np.random.default_rng(0), []
    pairs = [(a, b) for a in LANDSCAPES for b in OPTIMIZERS]
    random.shuffle(pairs)
    for landscape, optimizer in [*pairs[:25], *pairs[:25]]:
        for _ in range(40):
            start = [repr(round(float(random.uniform(*ends)), 3)) for ends in PROBLEMS[landscape].bounds]
            numbers = {name: float(random.choice([0.0, 0.5, 0.9, 0.99])) for name in OPTIMIZERS[optimizer].numbers}
            rate = float(f"{10 ** random.uniform(-4, 1):.3g}")
            setting = {"landscape": landscape, "optimizer": optimizer, "rate": rate, **numbers}
            setting |= {"start": ",".join(start), "steps": STEPS}
            (path, widths), (moved, _) = path_of(setting), path_of(setting, 1e-12)
            if len(path) == len(moved) > 20 and np.all(np.abs(moved - path) <= 1e-10 * widths):
                settings.append((setting, path))
                break
    return settings


@pytest.mark.browser
def test_fifty_paths_are_those_of_gdjax(visit):
    settings = fifty_settings()
    assert len(settings) == 50
    page, errors = visit("descent"), {}
    for setting, path in settings:
        points = np.reshape(page.evaluate(OPEN, fragment(setting)), (-1, path.shape[1]))[: len(path)]
        assert len(points) == len(path)
        errors[fragment(setting)] = np.max(np.abs(points - path)) / np.max(np.abs(path))
    print(f"largest relative difference of fifty paths: {max(errors.values()):.1e}")
    assert max(errors.values()) <= 1e-10, max(errors, key=errors.get)


@pytest.mark.browser
def test_the_regions_are_those_of_theory_and_of_the_sentence(visit):
    page = visit("descent")
    for name in ("bowl1", "bowl10", "bowl100", "quadratic"):
        page.evaluate(OPEN, fragment({"landscape": name, "optimizer": "sgd", "steps": 500}))
        kinds, rates = page.evaluate("[gdjax.page.kinds, gdjax.RATES]")
        largest = 2 / PROBLEMS[name].lipschitz
        for kind, rate in zip(kinds, rates, strict=True):
            assert (kind == "diverges") == (rate > largest) or abs(np.log(rate / largest)) < 0.05, (name, rate, kind)
    page.evaluate(OPEN, "#landscape=double_well&optimizer=sgd&start=0.5")
    seen = set()
    for place in range(0, 121, 4):
        page.evaluate(MOVE, ["rate-slider", place])
        kind = page.evaluate("gdjax.page.ending.kind")
        assert kind == page.evaluate(f"gdjax.page.kinds[{place}]") == page.get_attribute(".ending", "data-kind")
        seen.add(kind)
    assert {"converges", "swings", "oscillates", "diverges", "slow"} <= seen


LEFT = """(steps) => gdjax.RATES.map((rate) => gdjax.descend({ ...gdjax.page.state, rate, steps }).left)"""


@pytest.mark.browser
def test_only_what_leaves_is_colored_as_divergent(visit):
    """From beside a minimum of the double well swings grow for many steps: above some rate without bound, below it not."""
    page, said = visit("descent"), set()
    for landscape, start, steps in (("double_well", "2.0001", 60), ("waves", "0.0001", 30), ("bowl10", "2,2", 12)):
        page.evaluate(OPEN, fragment({"landscape": landscape, "optimizer": "sgd", "start": start, "steps": steps}))
        kinds, left = page.evaluate("gdjax.page.kinds"), page.evaluate(LEFT, steps + 2000)
        wrong = [k for k, kind in enumerate(kinds) if kind == "diverges" and not left[k]]
        wrong += [k for k, kind in enumerate(kinds) if kind in ("oscillates", "converges", "swings") and left[k]]
        assert wrong == [], landscape
        for k, kind in enumerate(kinds):
            page.evaluate(MOVE, ["rate-slider", k])
            if page.evaluate("gdjax.page.ending.grows"):
                said.add((landscape, kind, page.locator(".ending").text_content().split()[0]))
    assert {(a, b) for a, b, _ in said} >= {("double_well", "oscillates"), ("bowl10", "diverges")}
    assert all(word.rstrip(":").lower() == ("still" if kind == "slow" else kind) for _, kind, word in said)


@pytest.mark.browser
def test_each_link_of_the_page_shows_what_its_sentence_says(visit, site):
    links = re.findall(r'href="(#[^"]+)"', (site / "descent.md").read_text())
    kinds = (
        "converges converges diverges swings swings swings swings elsewhere converges swings oscillates slow diverges"
    )
    page, found = visit("descent"), []
    for link in links:
        page.evaluate(OPEN, html.unescape(link))
        found.append(page.evaluate("gdjax.page.ending.kind"))
    assert found == [*kinds.split(), "elsewhere", "falls", "slow", "swings"]


MOVE = """([name, value]) => {
    const slider = document.querySelector(`[name=${name}]`);
    slider.value = value;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
}"""
TIMED = f"""async ([name, value]) => {{
    const began = performance.now();
    ({MOVE})([name, value]);
    await new Promise(requestAnimationFrame);
    const drawn = performance.now() - began;
    while (!gdjax.page.kinds) await new Promise(requestAnimationFrame);
    return [drawn, performance.now() - began];
}}"""


@pytest.mark.browser
def test_sliders_answer_at_once(visit):
    """Told in milliseconds on the wall, until the path and the regions are drawn; held in those of the page's thread."""
    page = visit("descent", "#landscape=beale&optimizer=adam&steps=1000")  # the most that a page computes
    clock = page.context.new_cdp_session(page)
    clock.send("Performance.enable", {"timeDomain": "threadTicks"})
    places = {
        "rate-slider": np.linspace(0, 120, 20),
        "b1-slider": np.linspace(0, 60, 20),
        "steps-slider": np.linspace(100, 5, 20),
    }
    for name, values in places.items():
        times = []
        for value in values.tolist():
            before = seconds_of(clock)
            wall = page.evaluate(TIMED, [name, round(value)])
            times.append((*wall, 1000 * (seconds_of(clock) - before)))
        for what, found in zip(("path", "regions", "thread"), zip(*times, strict=True), strict=True):
            print(
                f"{name}, {what}: median {statistics.median(found):.0f} ms, worst {max(found):.0f} ms of {len(found)}"
            )
        assert statistics.median(found) < 100


def seconds_of(clock):
    """How long the page's thread has computed."""
    return next(x["value"] for x in clock.send("Performance.getMetrics")["metrics"] if x["name"] == "TaskDuration")


@pytest.mark.browser
def test_an_address_restores_the_same_pictures(visit):
    images = "[...document.querySelectorAll('canvas')].map(canvas => canvas.toDataURL())"
    page = visit("descent")
    page.select_option("[name=landscape]", "beale")
    page.select_option("[name=optimizer]", "adam")
    page.evaluate(MOVE, ["rate-slider", 85])
    page.evaluate(MOVE, ["b1-slider", 7])
    page.wait_for_function("gdjax.page.kinds")
    box = page.locator(".start").bounding_box()
    page.mouse.move(box["x"] + 13, box["y"] + 13)
    page.mouse.down()
    page.mouse.move(box["x"] - 60, box["y"] + 50, steps=3)
    page.mouse.up()
    page.wait_for_timeout(400)
    page.wait_for_function("gdjax.page.kinds")
    start = page.evaluate("gdjax.page.state.start")
    assert start[0] < 0.5 and start[1] < 0.5 and "landscape=beale" in page.url and "b2=0.999" in page.url
    drawn = page.evaluate(images)
    again = visit("descent", page.url.partition(".html")[2])
    again.wait_for_function("gdjax.page.kinds")
    again.wait_for_timeout(200)
    assert again.evaluate("gdjax.page.state") == page.evaluate("gdjax.page.state") and again.evaluate(images) == drawn
    broken = visit("descent", "#landscape=nowhere&optimizer=__proto__&rate=fast&b1=7&start=1&steps=-3")
    assert broken.evaluate("gdjax.page.state.landscape") == "himmelblau" and broken.locator(".ending").text_content()
    page = visit("backprop")
    page.fill("[name=expression]", "tanh(a * b) + a ^ 2")
    page.fill("[name=a]", "0.25")
    for _ in range(6):
        page.click("[name=forward]")
    page.wait_for_timeout(400)
    again = visit("backprop", page.url.partition(".html")[2])
    assert again.locator(".graph").inner_html() == page.locator(".graph").inner_html()
    assert again.locator(".saying").text_content() == page.locator(".saying").text_content()
    assert again.input_value("[name=a]") == "0.25" and "step 6 of 9" in again.locator(".count").text_content()


@pytest.mark.browser
def test_all_works_by_keyboard_and_touch_and_has_a_name(visit):
    page = visit("descent", "#landscape=saddle&optimizer=adam&start=0,0")
    page.focus(".start")
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate("gdjax.page.state.start") == pytest.approx([0.08 - 0.004, 0.08 + 0.004])
    for name in ("rate", "b1", "b2", "steps"):
        before = page.input_value(f"[name={name}]")
        page.focus(f"[name={name}-slider]")
        page.keyboard.press("ArrowRight")
        assert page.input_value(f"[name={name}]") != before
    page.fill("[name=rate]", "0.0123")
    assert page.evaluate("gdjax.page.state.rate") == 0.0123
    touched = visit("descent", has_touch=True)
    box = touched.locator(".picture").bounding_box()
    touched.touchscreen.tap(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    assert touched.evaluate("gdjax.page.state.start[0]") < 0 < touched.evaluate("gdjax.page.state.start[1]")
    finger, ring = touched.context.new_cdp_session(touched), touched.locator(".start").bounding_box()
    for kind, far in (("touchStart", 0), ("touchMove", 60), ("touchMove", 170), ("touchEnd", None)):
        at = [] if far is None else [{"x": ring["x"] + 13 + far, "y": ring["y"] + 13 + far}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    touched.wait_for_function("gdjax.page.state.start[0] > 0 && gdjax.page.state.start[1] < 0")
    graph = visit("backprop")
    graph.focus(".scroll")
    for key, said in (
        ("ArrowRight", "−2 + 5 = 3"),
        ("ArrowRight", "3 · (−4) = −12"),
        ("End", "by x −4, by y −4, by z 3"),
    ):
        graph.keyboard.press(key)
        assert said in graph.locator(".saying").text_content()
    for each in (page, graph):
        unnamed = """[...document.querySelectorAll('input, select, button, canvas, svg')].filter(each => !each.labels?.length
            && !each.getAttribute('aria-label') && !each.textContent.trim() && !each.getAttribute('aria-hidden'))"""
        assert each.evaluate(f"{unnamed}.map(each => each.outerHTML)") == []


@pytest.mark.browser
def test_adjoints_are_those_of_jax(visit):
    page = visit("backprop")
    for text, at in EXPRESSIONS.items():
        function = eval(f"lambda {', '.join(at)}: {text.replace('^', '**')}", dict(NAMES))
        with jax.enable_x64(True):
            numbers = [jnp.float64(x) for x in at.values()]
            value, gradient = jax.value_and_grad(function, argnums=tuple(range(len(at))))(*numbers)
        page.fill("[name=expression]", text)
        for name, x in at.items():
            page.fill(f".inputs [name={name}]", str(x))
        page.click("[name=last]") if page.is_enabled("[name=last]") else None
        found = page.evaluate(
            "[gdjax.page.nodes.map(each => each.name ?? null), gdjax.page.adjoints, gdjax.page.values.at(-1)]"
        )
        adjoints = {name: adjoint for name, adjoint in zip(*found[:2], strict=True) if name}
        np.testing.assert_allclose(found[2], value, rtol=1e-12)
        np.testing.assert_allclose([adjoints[name] for name in at], gradient, rtol=1e-12, err_msg=text)
    for text, sentence in (
        ("x + * y", 'At character 5 there is "*", but a number, a name or an opening parenthesis is expected.'),
        ("exp(x", "At character 6 the expression ends, but a closing parenthesis is missing."),
        ("2 x", 'At character 3 there is "x", but a product is written with *.'),
        ("x $ y", 'At character 3 there is "$", which has no meaning here.'),
        ("1 + 2", "The expression has no variable, so that there is nothing to derive."),
    ):
        page.fill("[name=expression]", text)
        assert page.locator(".mistake").text_content() == sentence


@pytest.mark.browser
def test_pages_fit_a_telephone_and_say_what_they_lack_without_scripts(visit):
    for name in ("descent", "backprop"):
        page = visit(name, viewport={"width": 400, "height": 800}, color_scheme="dark")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        color = "getComputedStyle(document.querySelector('.explorer')).getPropertyValue('--text')"
        dark = page.evaluate(color)
        page.evaluate("document.body.dataset.theme = 'light'")  # as the theme's button does
        assert page.evaluate(color) != dark
        silent = visit(name, java_script_enabled=False)
        assert "scripts switched off" in silent.locator("noscript").inner_text()
