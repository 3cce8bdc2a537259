"""The explorer in a real browser: what it shows, mouse, keyboard, and that it asks for nothing.

Needs Chromium or Chrome with its driver, and selenium; without them these tests are skipped.
"""

import json
import shutil

import numpy as np
import pytest

import symtensor as st

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.common.exceptions import (  # noqa: E402
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None
)
DRIVER = shutil.which("chromedriver")
if BROWSER is None or DRIVER is None:
    pytest.skip("no Chromium with chromedriver on this machine", allow_module_level=True)

HOSTILE = "</script><img src=x onerror=\"document.title='broken'\"><b>\u2028{{DATA}}"


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1500,1000",
                     "--disable-background-networking", "--disable-component-update"):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=webdriver.ChromeService(DRIVER), options=options)
    yield driver
    driver.quit()


def mlp():
    rng = np.random.default_rng(0)
    x, y = st.placeholder((None, 6), name="x"), st.placeholder((None,), "int32", name="y")
    h, parameters = x, []
    for i, (a, b) in enumerate(((6, 8), (8, 4))):
        with st.name_scope(f"layer{i}"):
            w = st.variable(rng.standard_normal((a, b)).astype("f4"), name=f"w{i}")
            h = st.relu(h @ w) if i == 0 else h @ w
        parameters.append(w)
    with st.name_scope("loss"):
        loss = st.mean(st.sparse_categorical_crossentropy(y, h, from_logits=True))
    updates = [
        (w, w - 0.1 * g) for w, g in zip(parameters, st.gradients(loss, parameters), strict=True)
    ]
    return st.function([x, y], loss, updates=updates, name="mlp")


def show(browser, path):
    browser.get("about:blank")
    browser.get(path.as_uri())
    WebDriverWait(browser, 20).until(
        lambda b: b.execute_script("return document.documentElement.dataset.ready") == "true"
    )
    settle(browser)


def settle(browser):
    """Wait until the page has drawn what was asked of it: two frames, the second after layout."""
    browser.execute_async_script(
        "const done = arguments[0];"
        "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));"
    )


def until(page, condition):
    """Wait until `condition`, a function of the page, holds; return what it gives."""
    ignored = (StaleElementReferenceException, NoSuchElementException, IndexError)
    return WebDriverWait(page, 20, 0.05, ignored).until(condition)


@pytest.fixture
def page(browser, tmp_path):
    """The explorer of an MLP's training step, opened anew."""
    f = mlp()
    profile = f.profile(np.ones((5, 6), "f4"), np.zeros(5, "i4"), repeat=1)
    show(browser, f.explore(tmp_path / "mlp.html", (32, 6), (32,), profile=profile))
    browser.execute_script("localStorage.clear()")
    return browser


def ask(page, expression):
    return page.execute_script(f"return {expression}")


def press(page, *keys):
    for key in keys:
        ActionChains(page).send_keys(key).perform()
        settle(page)


def text(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector).text


def click_item(page, find, double=False):
    """Click the box for which the JavaScript predicate holds, on the canvas."""
    settle(page)
    page.execute_script(f"explorer.view.reveal(explorer.view.scene.items.find({find}))")
    settle(page)
    x, y = ask(page, f"""(() => {{
        const view = explorer.view, item = view.scene.items.find({find});
        const w = view.size[0] / 2, h = view.size[1] / 2;
        return [(item.x + item.w / 2) * view.scale + view.dx - w,
                (item.y + 13) * view.scale + view.dy - h];
    }})()""")  # fmt: skip
    canvas = page.find_element(By.CSS_SELECTOR, "#view-main canvas")
    mouse = ActionChains(page).move_to_element_with_offset(canvas, int(x), int(y))
    (mouse.double_click() if double else mouse.click()).perform()
    settle(page)


def errors(page):
    return [row["message"] for row in page.get_log("browser") if row["level"] != "INFO"]


# --- opening -------------------------------------------------------------------------------------


def test_it_opens_without_errors_and_asks_for_nothing(page):
    events = [json.loads(row["message"])["message"] for row in page.get_log("performance")]
    asked = {
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    }
    assert asked and all(url.startswith(("file:", "about:", "data:")) for url in asked)
    assert errors(page) == []
    assert text(page, "#name") == "mlp" and "llvm" in text(page, "#facts")


def test_something_is_drawn(page):
    painted = """(() => {
        const c = explorer.view.canvas, d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        let n = 0;
        for (let i = 3; i < d.length; i += 4) n += d[i] > 0;
        return n / (c.width * c.height);
    })()"""
    assert ask(page, painted) > 0.02
    assert len(page.get_screenshot_as_png()) > 20_000


def test_hostile_names_are_shown_as_they_are(browser, tmp_path):
    x = st.placeholder((2,), name=HOSTILE)
    with st.name_scope(HOSTILE):
        f = st.function([x], st.exp(x) * st.sin(x), name=HOSTILE)
    show(browser, f.explore(tmp_path / "hostile.html"))
    assert errors(browser) == []
    assert browser.find_element(By.ID, "name").get_attribute("title") == HOSTILE
    assert browser.title != "broken" and browser.title.startswith("</script>")
    for tab in ("kernels", "remarks", "text", "changes", "passes", "memory"):
        browser.find_element(By.CSS_SELECTOR, f"[data-tab={tab}]").click()
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert ask(browser, "document.images.length") == 0 and browser.title != "broken"


# --- following -----------------------------------------------------------------------------------


def test_a_node_leads_to_its_line_kernel_loops_llvm_and_assembly(page):
    press(page, "e", "e")
    click_item(page, "(i) => i.kind === 'node' && i.title === 'relu'")
    assert until(page, lambda p: ask(p, "explorer.selection.kind") == "node")
    titles = ask(
        page, "[...document.querySelectorAll('#inspector details')].map(e => e.dataset.card)"
    )
    assert titles[0] == "Source" and {"Node", "Kernel", "Loops", "LLVM", "Assembly"} <= set(titles)
    chosen = text(page, "#source .chosen")
    assert "st.relu(h @ w)" in chosen
    for card, found in (("LLVM", "define "), ("Assembly", "ret")):
        page.find_element(By.CSS_SELECTOR, f"[data-card={card}] summary").click()
        shown = f"[data-card={card}] .code"
        until(page, lambda p, s=shown, f=found: f in text(p, s))
    assert "relu" in text(page, "[data-card=Loops] .code .marked")
    assert page.find_elements(By.CSS_SELECTOR, "#pane tr.current[data-kernel]")


def test_a_kernel_leads_back_to_lines_and_nodes(page):
    page.find_element(By.CSS_SELECTOR, "#pane tr[data-kernel=k0]").click()
    assert ask(page, "explorer.selection.kind") == "kernel"
    assert page.find_elements(By.CSS_SELECTOR, "#source .chosen")
    page.find_element(By.CSS_SELECTOR, "[data-card=Nodes] button.link").click()
    assert ask(page, "explorer.selection.kind") == "node"


def test_a_line_leads_to_its_nodes_and_kernels(page):
    line = next(
        e for e in page.find_elements(By.CSS_SELECTOR, "#source .live") if "st.relu" in e.text
    )
    line.click()
    assert "relu" in text(page, "[data-card=Nodes]")
    assert page.find_elements(By.CSS_SELECTOR, "[data-card=Kernels] button.link")
    assert "max" not in text(page, "[data-card=Nodes]")


def test_groups_open_and_fold_by_mouse(page):
    before = ask(page, "explorer.view.scene.items.length")
    press(page, "c")
    folded = ask(page, "explorer.view.scene.items.length")
    assert folded < before or ask(page, "explorer.open.size") == 0
    click_item(page, "(i) => i.kind === 'group' && i.title === 'layer0'", double=True)
    assert ask(page, "explorer.view.scene.items.length") > folded
    click_item(page, "(i) => i.kind === 'group' && i.title === 'layer0'", double=True)
    assert ask(page, "explorer.view.scene.items.length") == folded


def test_a_line_of_the_loops_leads_to_its_node(page):
    page.find_element(By.CSS_SELECTOR, "#pane tr[data-kernel=k1]").click()
    page.find_element(By.CSS_SELECTOR, "[data-card=Loops] .row.live").click()
    assert ask(page, "explorer.selection.kind") == "node"


# --- passes --------------------------------------------------------------------------------------


def test_the_slider_goes_through_the_passes(page):
    slider = page.find_element(By.ID, "slider")
    last = int(slider.get_attribute("max"))
    assert int(slider.get_attribute("value")) == last > 0
    for stage in range(last - 1, -1, -1):
        slider.send_keys(Keys.ARROW_LEFT)
        assert ask(page, "explorer.stage") == stage
    assert "as you wrote them" in text(page, "#stage-facts")
    press(page, "]")
    assert ask(page, "explorer.stage") == 1


def test_changes_are_shown_side_by_side(page):
    page.find_element(By.ID, "diff").click()
    views = page.find_elements(By.CSS_SELECTOR, ".view canvas")
    assert all(view.is_displayed() for view in views)
    shown = ask(page, "[explorer.other, explorer.view].map(v => v.scene.items.map(i => i.node))")
    found = ask(page, "(() => { const v = explorer.viewState('before'), w = explorer.viewState('main');"
                      "return [explorer.other.scene.items.map(i => v.status(i.node)),"
                      "explorer.view.scene.items.map(i => w.status(i.node))]; })()")  # fmt: skip
    assert shown[0] and {"removed", "rewired"} & set(found[0]) and "added" not in found[0]
    assert "removed" not in found[1]
    assert text(page, "#pane .chips").startswith("−")
    rows = page.find_elements(
        By.CSS_SELECTOR, "#pane .difftext .del, #pane .difftext .add, .rewired"
    )
    assert rows and page.find_elements(By.CSS_SELECTOR, "#pane .difftext .fold")
    press(page, "x")
    assert not page.find_element(By.CSS_SELECTOR, "#view-before").is_displayed()


# --- keyboard, search ----------------------------------------------------------------------------


def test_search_finds_by_op_name_line_and_kernel(page):
    press(page, "/")
    until(page, lambda p: p.switch_to.active_element.get_attribute("id") == "query")
    press(page, "w1")
    hits = "[...document.querySelectorAll('#hits .hit')].map(e => e.innerText)"
    until(page, lambda p: "%w1" in ask(p, hits)[0])
    press(page, Keys.ENTER)
    until(page, lambda p: text(p, "#inspector .big").startswith("w1"))
    press(page, "/", "kernel0")  # what stood there is selected
    until(page, lambda p: any("kernel0" in hit for hit in ask(p, hits)))
    press(page, Keys.ESCAPE)
    until(page, lambda p: not p.find_element(By.ID, "hits").is_displayed())


def test_arrows_move_along_edges(page):
    page.execute_script("explorer.select('node', explorer.graph.stage.graph.outputs[0])")
    start = ask(page, "explorer.selection.id")
    press(page, Keys.ARROW_UP)
    above = ask(page, "explorer.selection.id")
    assert above in ask(page, f"explorer.graph.inputs.get({start})")
    press(page, Keys.ARROW_DOWN)
    assert ask(page, "explorer.selection.id") in ask(page, f"explorer.graph.users.get({above})")
    press(page, "b")
    assert ask(page, "explorer.selection.id") == above
    press(page, Keys.ESCAPE)
    assert ask(page, "explorer.selection.kind") == "none"


def test_what_can_be_clicked_can_be_pressed(page):
    row = page.find_element(By.CSS_SELECTOR, "#pane tr[data-kernel=k1]")
    page.execute_script("arguments[0].focus()", row)
    assert page.switch_to.active_element == row
    press(page, Keys.ENTER)
    assert ask(page, "explorer.selection.id") == "k1"


def test_help_lists_the_keys(page):
    press(page, "?")
    assert "previous" not in text(page, "#help") and "pass before" in text(page, "#help")
    press(page, Keys.ESCAPE)
    assert not page.find_element(By.ID, "help").is_displayed()


@pytest.mark.parametrize("key, expression", [
    ("g", "explorer.grouping"), ("o", "explorer.overlay"), ("t", "explorer.tab"),
    ("k", "explorer.numbers"), ("x", "explorer.diff"),
])  # fmt: skip
def test_keys_that_switch(page, key, expression):
    before = ask(page, expression)
    press(page, key)
    assert ask(page, expression) != before
    assert errors(page) == []


def test_every_grouping_colour_and_tab_draws_every_pass(page):
    page.execute_script("""
        const all = (id) => [...document.getElementById(id).options].map((o) => o.value);
        const last = Number(document.getElementById("slider").max);
        for (const group of all("group")) {
            explorer.setGrouping(group);
            for (const overlay of all("overlay")) explorer.setOverlay(overlay);
            for (let stage = 0; stage <= last; stage += 1) explorer.setStage(stage);
        }
    """)
    for name in ("kernels", "memory", "remarks", "changes", "text", "passes"):
        page.find_element(By.CSS_SELECTOR, f"[data-tab={name}]").click()
        assert page.find_element(By.ID, "pane").text
    assert errors(page) == []


def test_dark_mode_changes_colours_and_is_kept(page):
    shade = "getComputedStyle(document.body).backgroundColor"
    before, theme = ask(page, shade), ask(page, "document.documentElement.dataset.theme")
    press(page, "d")
    assert ask(page, shade) != before
    page.refresh()
    assert ask(page, "document.documentElement.dataset.theme") != theme


def test_the_address_keeps_what_is_shown(page):
    press(page, "[")
    page.execute_script("explorer.select('node', explorer.graph.order[3])")
    page.find_element(By.CSS_SELECTOR, "[data-tab=passes]").click()
    wanted = ask(page, "[explorer.stage, explorer.selection.id, explorer.tab]")
    page.refresh()
    assert ask(page, "[explorer.stage, explorer.selection.id, explorer.tab]") == wanted


# --- numbers -------------------------------------------------------------------------------------


def test_other_sizes_give_other_costs(page):
    page.find_element(By.CSS_SELECTOR, "[data-tab=memory]").click()
    before = text(page, "#pane .chips b")
    field = page.find_element(By.CSS_SELECTOR, "#sizes input")
    field.clear()
    field.send_keys("64000", Keys.ENTER)
    assert text(page, "#pane .chips b") != before
    assert page.find_elements(By.CSS_SELECTOR, "#pane svg .box")


def test_the_profile_is_laid_over(page):
    assert ask(page, "explorer.overlay") == "time"
    assert "time" in text(page, "#pane thead") and "s" in text(
        page, "#pane tbody tr td:nth-last-child(3)"
    )


def test_loops_open_to_their_bodies(browser, tmp_path):
    xs, u = st.placeholder((None, 4), name="xs"), st.variable(np.eye(4, dtype="f4"), name="u")
    last = st.foldl(lambda h, a: st.tanh(a + h @ u), xs, st.zeros((4,)))
    f = st.function([xs], st.sum(last))
    show(browser, f.explore(tmp_path / "scan.html"))
    press(browser, "e", "e", "e")
    assert ask(browser, "explorer.view.scene.items.some(i => i.title === 'tanh')")
    assert errors(browser) == []
