import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from biokeel.books.balance import EventBooks
from tests.event_types import EVENTS

pytestmark = pytest.mark.browser

TOKEN = "token-of-the-browser-test"
COLUMNS = list(EventBooks(EVENTS[0]).figures())


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """Of a console over real metrics servers and made-up books: URL, folder, and the address that opens it."""
    folder = tmp_path_factory.mktemp("console")
    script = Path(__file__).with_name("served_console.py")
    # Without the variable by which pytest tells NiceGUI to run in its own test mode.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    command = [sys.executable, str(script), str(folder), TOKEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder) as server:
        try:
            url = server.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:")
            yield url, folder, f"{url}/?token={TOKEN}"
        finally:
            server.terminate()


@pytest.fixture
def page(chromium, console):
    """An open page with its books read; afterwards it must have had no error and asked no other host."""
    url, _, address = console
    troubles = []
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    page.on("console", lambda said: troubles.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("request", lambda asked: None if asked.url.startswith((url, "data:")) else troubles.append(asked.url))
    page.on("response", lambda got: troubles.append(f"{got.status} {got.url}") if got.status >= 400 else None)
    page.goto(address)
    page.get_by_test_id("books-time").wait_for(timeout=60_000)
    assert page.url == f"{url}/"  # the token is in no address bar
    yield page
    page.close()
    assert troubles == []


def number(page, test_id):
    return float(page.get_by_test_id(test_id).text_content().removesuffix("/s").removesuffix(" wait").replace(",", ""))


def test_the_page_shows_the_same_books_as_verify(page, console):
    _, folder, _ = console
    code = "import json; from served_console import seen; print(json.dumps(seen().books.as_json()))"
    output = subprocess.run(
        [sys.executable, "-c", code, str(folder), TOKEN],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    ).stdout
    proved = json.loads(output)
    for event in map(str, EVENTS):
        for column in COLUMNS:
            assert number(page, f"books-{event}-{column}") == proved["events"][event][column], (event, column)
    for column in COLUMNS:
        assert number(page, f"books-total-{column}") == proved["totals"][column]
    for place in ("raw", "curated", "quarantined", "parked", "sealed", "applied"):
        assert number(page, f"node-{place}") == proved["totals"][place]
    assert "Balanced" in page.get_by_test_id("books-verdict").text_content()


def test_every_edge_of_the_drawing_has_a_live_number(page):
    edges = [
        "read-raw",
        "pseudonymised",
        "parked",
        "released",
        "sealed",
        "applied",
        "read-pseudo",
        "curated",
        "quarantined",
    ]
    page.wait_for_function("document.querySelector('[data-testid=edge-read-raw]').textContent != '0/s'", timeout=20_000)
    rates = {edge: number(page, f"edge-{edge}") for edge in edges}
    assert all(rate > 0 for rate in rates.values()), rates
    assert rates["read-raw"] > rates["curated"] > rates["quarantined"] > 0
    assert number(page, "lag-raw") >= 0
    assert number(page, "edge-published") == 0


def test_the_figures_change_by_themselves(page):
    time, rate = (page.get_by_test_id(name).text_content() for name in ("stats-time", "landed-rate"))
    changed = "([name, text]) => document.querySelector(`[data-testid=${name}]`).textContent != text"
    page.wait_for_function(changed, arg=["stats-time", time], timeout=10_000)
    page.wait_for_function(changed, arg=["landed-rate", rate], timeout=10_000)
    assert page.get_by_test_id("plot-landed").get_attribute("points").count(",") >= 2


def test_rejects_name_the_reason_and_whose_job_it_is(page):
    row = page.get_by_role("row").filter(has=page.get_by_test_id("rejected-rule.failed"))
    assert "steward" in row.text_content()
    assert "critical rule" in row.text_content()
    assert number(page, "rejected-privacy.leak") == 3
    assert number(page, "withheld-hospital-a-clinical.glucose-status") == 12


def test_tables_show_their_versions_and_workers_their_health_in_words(page):
    assert number(page, "version-curated-clinical.glucose") == 41
    assert number(page, "version-quarantine-clinical.glucose") == 17
    assert page.get_by_test_id("worker-curate").text_content().endswith(": ok")


def test_rules_in_force_are_shown_with_who_wrote_and_approved_them_and_what_is_wrong(page):
    told = ("version", "author", "approver")
    cells = [page.get_by_test_id(f"rules-clinical.glucose-{name}").text_content() for name in told]
    assert cells == ["3+0f12ab34cd56", "anna", "bora"]
    assert "rules/x/000004.json <b>is junk" in page.get_by_test_id("rules-clinical.glucose-fault").text_content()
    assert page.get_by_test_id("rules-lifestyle.diet-version").text_content() == "–"


def test_what_rules_about_many_rows_find_is_shown_as_text(page):
    told = page.get_by_test_id("beside-alarm")
    told.wait_for(timeout=60_000)
    assert told.text_content() == "bp.mean of clinical.glucose is not met <b>by 7 rows"


def test_the_page_can_be_read_by_a_screen_reader(page):
    assert page.get_by_role("img", name="The way of an event").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("table").count() == 5
    assert page.locator("html").get_attribute("lang") == "en-US"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background_in_either_scheme(chromium, console, scheme):
    _, _, address = console
    page = chromium.new_page(color_scheme=scheme)
    page.goto(address)
    page.get_by_test_id("books-time").wait_for(timeout=60_000)
    contrast = page.evaluate(
        """() => {
          const light = text => { const [r, g, b] = text.match(/[\\d.]+/g).map(n => n / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
          const paper = light(getComputedStyle(document.querySelector('.card')).backgroundColor);
          return [...document.querySelectorAll('.card td, .card th, .card .soft, .card .big, h2')].map(e => {
            const ink = light(getComputedStyle(e).color);
            return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05); }).sort((a, b) => a - b)[0];
        }"""
    )
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.close()
    assert contrast >= 4.5
    assert (background == "rgb(17, 23, 29)") == (scheme == "dark")


def test_a_narrow_window_scrolls_inside_its_cards_not_the_page(chromium, console):
    _, _, address = console
    page = chromium.new_page(viewport={"width": 420, "height": 800})
    page.goto(address)
    page.get_by_test_id("books-time").wait_for(timeout=60_000)
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    page.close()
    assert widths[0] <= widths[1]


def test_a_browser_without_the_token_sees_where_to_find_it_and_its_socket_stays_shut(chromium, console):
    url, _, _ = console
    page = chromium.new_context().new_page()
    assert page.goto(url).status == 401
    assert "biokeel stack status" in page.text_content("body")
    socket = url.replace("http", "ws", 1) + "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    opened = """async at => await new Promise(done => {
        const socket = new WebSocket(at); socket.onopen = () => done(true); socket.onerror = () => done(false); })"""
    assert page.evaluate(opened, socket) is False
    page.close()
