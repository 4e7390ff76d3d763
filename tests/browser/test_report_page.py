"""The report's page in a real browser: offline, on a phone, in the dark, and with hostile names."""

import csv
import io
import json
import re

import pytest
from playwright.sync_api import sync_playwright

import expandergraphs as eg
from expandergraphs import BipartiteGraph, LayeredGraph

CHROMIUM = "/usr/bin/chromium"
HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
# Text against what is painted behind it, as WCAG 2 defines contrast; folded and hidden text is not looked at.
CONTRASTS = """() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (e) => { for (; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor); if (colour[3] === 1) return colour; }
    return null; };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e.checkVisibility() || e.closest(".hidden, svg")) continue;
    const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(behind(e))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.data.slice(0, 40)]);
  }
  return found;
}"""


def damaged():
    """A network with something to find in every part."""
    first = eg.random_bipartite(64, 96, density=0.02, rng=0)
    hubs = BipartiteGraph.from_edges(96, 64, [(i, j) for i in range(5) for j in range(64)] + [(9, 0)])
    parts = eg.disjoint_union([eg.random_regular(16, 16, 4, rng=k) for k in range(4)])
    last = eg.random_bipartite(64, 10, density=0.8, rng=2)
    names = ["input", "layer1.conv1", "layer2.conv1", "layer2.conv2", "fc"]
    return LayeredGraph.from_layers([first, hubs, parts, last], names=names)


def fifty():
    layers = [eg.random_regular(16, 16, 3, rng=k) for k in range(50)]
    names = ["input", *(f"a_very_long_name_of_a_module.layer{k}.conv.weight_orig" for k in range(50))]
    return LayeredGraph.from_layers(layers, names=names)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Return pages by name, written once."""
    folder = tmp_path_factory.mktemp("pages")
    subjects = {
        "regular": (eg.family_net("regular", [32, 48, 32], degree=6, rng=0), None),
        "damaged": (damaged(), None),
        "fifty": (fifty(), None),
        "hostile": (LayeredGraph.from_layers([eg.random_regular(8, 8, 3, rng=0)] * 2, names=[HOSTILE] * 3), HOSTILE),
        "graphs": ({"fc1": eg.random_regular(1100, 1100, 5, rng=0), "=fc2,\"'": damaged().layers[0]}, None),
    }
    for name, (subject, title) in subjects.items():
        eg.save_report(folder / f"{name}.html", subject, title=title, time_limit=0 if name == "fifty" else None)
    return {name: folder / f"{name}.html" for name in subjects}


NAMES = ["regular", "damaged", "fifty", "hostile", "graphs"]


@pytest.fixture
def opened(browser):
    """Return a function that opens a page where every request but that for the page is refused."""
    contexts, attempts, complaints = [], [], []

    def open_page(path, width=1280, height=800, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()

        def decide(route):
            if route.request.url == path.as_uri():
                route.continue_()
            else:
                attempts.append(route.request.url)
                route.abort()

        page.route("**/*", decide)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert attempts == []
    assert complaints == []


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_opens_alone(pages, opened, name, scripts):
    page = opened(pages[name], offline=True, java_script_enabled=scripts)
    assert page.locator("h1").is_visible()
    assert page.locator("#findings .verdict").is_visible()
    assert page.locator("#layers table").is_visible()
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1
    page.locator("nav a", has_text="Data").click()
    assert page.locator("#data").is_visible()


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
@pytest.mark.parametrize("name", NAMES)
def test_does_not_scroll_sideways(pages, opened, name, width):
    page = opened(pages[name], width, 740)
    for details in page.locator("details").all():
        details.locator("summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = page.locator(".box")
    for box in boxes.all():
        ends = box.bounding_box()
        assert ends["x"] >= 0
        assert ends["x"] + ends["width"] <= width


def test_a_wide_table_scrolls_inside_its_box_and_keeps_the_names(pages, opened):
    page = opened(pages["damaged"], 360, 740)
    box = page.locator("#layers .box")
    assert box.evaluate("e => e.scrollWidth > e.clientWidth")
    name = page.locator("#layers tbody th").first
    before = name.bounding_box()["x"]
    box.evaluate("e => { e.scrollLeft = 200; }")
    assert box.evaluate("e => e.scrollLeft") == 200
    assert abs(name.bounding_box()["x"] - before) <= 1
    box.focus()
    assert page.evaluate("document.activeElement.className") == "box"


def test_findings_are_the_first_thing_seen(pages, opened):
    page = opened(pages["damaged"])
    assert page.locator(".verdict").bounding_box()["y"] < 800
    assert page.locator(".finding .kind").first.inner_text().lower() == "serious"
    text = page.locator("#findings").inner_text()
    assert re.search(r"layer1\.conv1: \d+ outputs receive nothing", text)
    assert "layer2.conv1 sends almost everything through few units" in text
    severities = [element.get_attribute("class") for element in page.locator(".finding").all()]
    assert severities == sorted(severities, reverse=True)
    assert opened(pages["regular"]).locator(".verdict").inner_text() == "Nothing wrong found."


def test_fifty_layers(pages, opened):
    page = opened(pages["fifty"], 360, 740)
    assert page.locator("#layers tbody tr").count() == 50
    assert page.locator("#spectra svg:visible").count() == 12
    page.locator("#spectra summary").click()
    assert page.locator("#spectra svg:visible").count() == 50
    assert page.locator("#heat tbody tr").count() == 51


@pytest.mark.parametrize("name", NAMES)
def test_the_downloads_are_the_measures(pages, opened, name):
    page = opened(pages[name], accept_downloads=True)
    saved = {}
    for link in page.locator("#data a[download]").all():
        with page.expect_download() as event:
            link.click()
        saved[event.value.suggested_filename] = event.value.path()
    report = json.loads(saved["report.json"].read_text())
    rows = list(csv.DictReader(io.StringIO(saved["layers.csv"].read_text())))
    for row, graph in zip(rows, report["graphs"], strict=True):
        assert (int(row["n_left"]), int(row["n_edges"])) == (graph["n_left"], graph["n_edges"])
        assert float(row["spectrum_sigma2"]) == graph["spectrum"]["sigma2"]
        assert float(row["intervals_left_lower"]) == graph["intervals"]["left"]["lower"]
    copy = saved["graph.npz"].rename(saved["graph.npz"].with_suffix(".npz"))
    if name == "damaged":
        net = damaged()
        assert eg.load(copy) == net
        measured = json.loads(json.dumps(eg.report(net, quick=True).to_dict()))
        for graph, carried in zip(measured["graphs"], report["graphs"], strict=True):
            assert carried | {"intervals": None} == graph
    if name == "graphs":
        assert [row["layer"] for row in rows] == ["fc1", "=fc2,\"'"] == list(eg.load_graphs(copy))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["regular", "damaged", "graphs"])
def test_text_stands_out(pages, opened, name, scheme):
    page = opened(pages[name], color_scheme=scheme)
    for details in page.locator("details").all():
        details.locator("summary").first.click()
    found = page.evaluate(CONTRASTS)
    assert len(found) > 50
    assert min(found)[0] >= 4.5, min(found)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(255, 255, 255)") == (scheme == "light")


def test_a_hostile_name_runs_nothing(pages, opened):
    page = opened(pages["hostile"])
    assert page.title() == " ".join(HOSTILE.split())
    assert page.locator("script, img").count() == 0
    assert "<script>" in page.locator("h1").inner_text()


def test_no_script_would_run_even_if_it_got_in(pages, browser, tmp_path):
    forged, complaints = tmp_path / "forged.html", []
    source = pages["regular"].read_text("utf-8")
    forged.write_text(source.replace("<footer>", "<script>document.title = 'owned'</script><footer>"), "utf-8")
    page = browser.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(forged.as_uri())
    assert page.title() == "Network of 3 layers of units"
    assert "Content Security Policy" in complaints[0]
    page.close()


def test_screen_readers_and_print(pages, opened):
    page = opened(pages["damaged"])
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("svg:not([role=img])").count() == 0
    assert page.locator("svg title").count() == page.locator("svg").count()
    assert page.locator("table caption").count() == page.locator("table").count() == 2
    assert page.get_by_role("region", name="Table of layers").count() == 1
    assert page.get_by_role("img", name=re.compile("Singular values of fc: σ2 ")).count() == 1
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.locator("#layers .box").evaluate("e => getComputedStyle(e).overflowX") == "visible"
