"""A person at the page: a real server, a real browser."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

import pytest
from PIL import Image
from playwright.sync_api import expect

from engine.settings import Settings
from tests.conftest import paint
from tests.webapp.conftest import index
from tests.webapp.serving import started

PHOTOS = 70  # more than fit on a page

# How opaque the heat is where it is strongest, and the centre of its weight in fractions of the photo.
HEAT = """() => {
  const layers = [...document.querySelectorAll("#layers canvas")];
  if (!layers.length || getComputedStyle(layers[0]).visibility === "hidden") return null;
  const { width, height } = layers[0];
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  for (const layer of layers) copy.drawImage(layer, 0, 0);
  const alpha = copy.getImageData(0, 0, width, height).data.filter((_, i) => i % 4 === 3);
  const total = alpha.reduce((sum, a) => sum + a, 0);
  const x = alpha.reduce((sum, a, i) => sum + a * (i % width), 0) / total / width;
  const y = alpha.reduce((sum, a, i) => sum + a * Math.floor(i / width), 0) / total / height;
  return { strongest: Math.max(...alpha.filter((_, i) => i % 7 === 0)), x, y };
}"""


# How much of the page has jumped.
SHIFTS = """() => new Promise((resolve) => {
  const seen = [];
  const observer = new PerformanceObserver((list) => seen.push(...list.getEntries()));
  observer.observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => setTimeout(() => resolve(seen.reduce((sum, { value }) => sum + value, 0))));
})"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, colour_bundle):
    folder = tmp_path_factory.mktemp("browsed")
    two = paint(folder / "two.png", "black", "red", (0, 0), size=(640, 480))
    _add_spot(two, "blue", (480, 360, 640, 480))
    more = [paint(folder / f"{i:02}.png", "black", "green", (i % 4, i % 3), (96 + i, 80)) for i in range(PHOTOS - 2)]
    index(folder / "library", colour_bundle, [two, paint(folder / "all.png", "red"), *more])
    settings = Settings(library=folder / "library", model=str(colour_bundle.folder), cache=colour_bundle.cache)
    with started(settings) as running:
        yield running


def _add_spot(path, colour, box):
    picture = Image.open(path)
    picture.load()
    picture.paste(colour, box)
    picture.save(path)


def search(page, words):
    page.locator("input[type=search]").fill(words)
    page.keyboard.press("Enter")


def test_from_a_word_to_its_place_in_a_photo_to_another_word_and_back(visit):
    page = visit("/")
    search(page, "red")
    page.wait_for_url("**/?q=red*")
    page.locator("img[alt='two.png']").click()
    page.wait_for_url("**/photo/1?q=red**")
    page.wait_for_selector("#layers canvas")
    red = page.evaluate(HEAT)
    assert red["strongest"] > 100
    assert red["x"] < 0.4
    assert red["y"] < 0.4
    assert page.locator(".toggle").inner_text().strip() == "red"

    page.keyboard.press("/")
    page.keyboard.type("blue")
    page.keyboard.press("Enter")
    page.wait_for_url("**/photo/*?q=blue")
    page.locator(".toggle", has_text="blue").wait_for()
    blue = page.evaluate(HEAT)
    assert blue["x"] > 0.6
    assert blue["y"] > 0.6

    page.locator("#stage").click()
    page.keyboard.press("h")
    assert page.evaluate(HEAT) is None
    page.keyboard.press("h")
    assert page.evaluate(HEAT) == blue

    page.keyboard.press("Escape")
    page.wait_for_url("**/?q=blue")


def test_each_term_is_a_layer_that_can_be_hidden(visit):
    page = visit("/photo/1?q=red+blue")
    page.wait_for_selector("#layers canvas")
    both = page.evaluate(HEAT)
    assert both["x"] == pytest.approx(0.5, abs=0.15)
    page.locator(".toggle", has_text="red").click()
    assert page.evaluate(HEAT)["x"] > 0.6
    page.locator(".toggle", has_text="blue").click()
    assert page.evaluate(HEAT) is None
    assert page.locator("#layers g:visible").count() == 0


def test_a_click_into_a_photo_finds_what_is_there_in_others(visit):
    page = visit("/photo/1")
    photo = page.locator("img.photo").bounding_box()
    width = photo["height"] * 640 / 480  # the photo is shown whole, in the middle of its place
    left = (photo["width"] - width) / 2
    page.locator("img.photo").click(position={"x": left + width * 0.1, "y": photo["height"] * 0.1})
    page.wait_for_url("**region=0%2C0*")
    expect(page.locator("#similar img").first).to_have_attribute("alt", "all.png")
    expect(page.locator("#similar h2")).to_contain_text("what is there")


def test_arrow_keys_turn_to_the_next_photo_and_back(visit):
    page = visit("/photo/1?q=red&at=2&min_confidence=0")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**at=3")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**/photo/1?**at=2")


def test_a_finger_turns_to_the_next_photo_and_back_leads_to_where_it_was_opened(visit):
    page = visit("/explore", has_touch=True, viewport={"width": 390, "height": 844})
    page.locator("#chance .grid a").first.click()
    page.wait_for_url("**/photo/**")
    page.keyboard.press("Escape")
    page.wait_for_url("**/explore")
    page.goto("/photo/1?q=red&at=2&min_confidence=0")
    swipe = """([from, to]) => ["pointerdown", "pointerup"].forEach((kind, i) =>
      document.querySelector("#stage .photo").dispatchEvent(new PointerEvent(kind, {
        bubbles: true, isPrimary: true, pointerType: "touch", clientX: [from, to][i], clientY: 200 })))"""
    page.evaluate(swipe, [300, 100])
    page.wait_for_url("**at=3")
    page.evaluate(swipe, [100, 300])
    page.wait_for_url("**at=2")
    expect(page.locator("#similar img").first).to_be_attached()  # comes by itself


def test_suggestions_appear_while_typing_and_can_be_taken_with_the_keyboard(visit):
    page = visit("/")
    page.locator("input[type=search]").press_sequentially("ro")
    page.locator("#suggestions li", has_text="rouge").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=rouge**")
    page.get_by_text("was never a label in training").wait_for()
    assert page.locator("#suggestions").is_hidden()


def test_more_photos_come_while_scrolling(visit):
    page = visit("/?q=green&min_confidence=0")
    last = page.request.get("/api/v1/search?q=green&min_confidence=0&top=0").json()["items"][-1]["id"]
    page.keyboard.press("End")
    expect(page.locator(f".grid li[data-id='{last}']")).to_be_attached()
    expect(page.locator(".more")).to_have_count(0)


def test_the_cut_off_answers_at_once_and_stays_in_the_address(visit):
    page = visit("/?q=red&min_confidence=0")
    expected = page.request.get("/api/v1/search?q=red&min_confidence=0.1").json()["total"]
    assert 0 < expected < PHOTOS
    page.locator("input[type=range]").fill("0.1")
    page.wait_for_url("**min_confidence=0.1**")
    expect(page.locator(".grid li")).to_have_count(expected)
    expect(page.locator("output")).to_have_text("10\u202f%")


def test_arrow_keys_move_between_photos_and_h_shows_where_on_all_in_sight(visit):
    page = visit("/?q=green&min_confidence=0")
    page.locator(".grid a").first.focus()
    focused = "[...document.querySelectorAll('.grid a')].indexOf(document.activeElement)"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == 1
    page.keyboard.press("ArrowDown")
    below = page.evaluate(focused)
    assert below > 1
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) < below
    page.keyboard.press("h")
    expect(page.locator(".grid canvas").nth(3)).to_be_attached()
    page.keyboard.press("h")
    expect(page.locator(".grid canvas")).to_have_count(0)


def test_back_and_forward_bring_back_the_words(visit):
    page = visit("/?q=red&min_confidence=0")
    search(page, "green")
    page.wait_for_url("**q=green**")
    page.go_back()
    expect(page.locator("input[type=search]")).to_have_value("red")
    expect(page).to_have_title("red · unseen")


def test_an_image_that_is_chosen_or_dropped_is_the_query_and_stays_one_beside_words(visit, tmp_path):
    page, sent = visit("/"), []

    def answer(route):  # this bundle has no network to look at an image with
        if route.request.method == "GET":
            return route.fallback()
        sent.append(route.request.post_data_buffer)
        return route.fulfill(response=page.request.get("/?q=red"))

    page.route("**/", answer)
    page.locator("input[type=file]").set_input_files(paint(tmp_path / "holiday.png", "red"))
    expect(page.locator(".sure").first).to_be_visible()
    search(page, "blue")
    expect(page.locator("#results.busy")).to_have_count(0)
    page.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(["dropped"], "dropped.png", { type: "image/png" }));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }"""
    )
    page.wait_for_function("() => !document.querySelector('.busy')")
    assert [[name in body for body in sent] for name in (b"holiday.png", b"dropped.png", b"blue")] == [
        [True, True, False],
        [False, False, True],
        [False, True, True],
    ]


def test_an_image_that_is_refused_is_no_part_of_later_searches(visit, tmp_path):
    visit.expected += ["422", "413"]
    page = visit("/?q=red&min_confidence=0")
    answers = [
        {"response": page.request.get("/?q=xqzzt")},
        {"status": 413, "content_type": "text/html", "body": "<h1>The image is larger than 64 MB</h1>"},
    ]
    page.route("**/", lambda route: route.fulfill(**answers.pop(0)))
    image = paint(tmp_path / "refused.png", "red")
    page.locator("input[type=file]").set_input_files(image)
    expect(page.get_by_role("alert")).to_be_visible()
    search(page, "green")
    page.wait_for_url("**/?q=green**")
    expect(page.locator(".sure").first).to_be_visible()
    page.locator("input[type=file]").set_input_files(image)
    expect(page.locator(".toast")).to_have_text("The image is larger than 64 MB")
    expect(page.locator("input[type=search]")).to_have_value("green")
    search(page, "red")
    page.wait_for_url("**/?q=red**")
    assert answers == []


@pytest.mark.parametrize("width", [320, 390, 768, 1440, 3840])
@pytest.mark.parametrize(
    "path", ["/", "/?q=rouge&min_confidence=0", "/photo/1?q=red+blue&at=1", "/library", "/api/docs"]
)
def test_no_page_scrolls_sideways(visit, path, width):
    page = visit(path, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_jumps_when_photos_arrive(visit):
    page = visit("/?q=green&min_confidence=0")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(SHIFTS) < 0.001


def test_nothing_jumps_when_a_page_comes_in_parts(visit, server):
    """The second part is held back until the first one is there, which ends within a row of photos."""
    first_is_there = threading.Event()

    class Parts(BaseHTTPRequestHandler):
        def do_GET(self):
            with urlopen(server.address + self.path) as answer:
                body, kind = answer.read(), answer.headers["Content-Type"]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            if kind.startswith("text/html"):
                start = body.index(b'class="grid')
                for _ in range(6):
                    start = body.index(b"<li ", start + 1)
                self.wfile.write(body[:start])
                first_is_there.wait(30)
                body = body[start:]
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Parts) as slow:
        threading.Thread(target=slow.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{slow.server_port}"
        visit.expected.append(address)
        page = visit("about:blank")
        page.goto(f"{address}/?q=green&min_confidence=0", wait_until="commit")
        page.wait_for_function("document.querySelectorAll('.grid li').length > 4", polling=100)
        first_is_there.set()
        page.wait_for_load_state("networkidle")
        assert page.evaluate(SHIFTS) < 0.001
        slow.shutdown()


def test_search_and_photo_work_without_scripts(visit):
    page = visit("/", java_script_enabled=False)
    search(page, "red")
    page.wait_for_url("**q=red**")
    page.locator("img[alt='two.png']").click()
    page.wait_for_url("**/photo/1?**")
    assert page.locator("#layers img").bounding_box() == page.locator("img.photo").bounding_box()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/?q=rouge&min_confidence=0", "/photo/1?q=rouge+-blue", "/library", "/api/docs"])
def test_text_stands_out_from_its_ground(visit, path, scheme):
    """WCAG AA: a contrast of 4.5 for every text on a plain ground."""
    page = visit(path, color_scheme=scheme)
    faint = page.evaluate(
        """() => {
      const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
      const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
      };
      const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
          const colour = rgba(getComputedStyle(at).backgroundColor);
          if (colour[3] > 200) return colour;
        }
        return rgba("white");
      };
      return [...document.querySelectorAll("body *")]
        .filter((e) => !e.closest(".grid, .turn, .skip, .hidden, noscript, svg") && e.checkVisibility())
        .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
        .map((e) => {
          const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))];
          return [e.className || e.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        })
        .filter(([, contrast]) => contrast < 4.5);
    }"""
    )
    assert faint == []


@pytest.mark.parametrize("path", ["/?q=red&min_confidence=0", "/photo/1?q=red&at=1", "/library", "/api/docs"])
def test_everything_that_can_be_used_has_a_name(visit, path):
    page = visit(path)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, img")]
      .filter((e) => e.checkVisibility())
      .filter((e) => !(e.getAttribute("aria-label") || e.title || e.alt || e.textContent.trim() || e.labels?.length
        || e.querySelector?.("img[alt]")))
      .map((e) => e.outerHTML)"""
    )
    assert nameless == []


def test_escape_leaves_the_box_with_its_words(visit):
    page = visit("/?q=red&min_confidence=0")
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    expect(page.locator("input[type=search]")).to_have_value("red")
    expect(page.locator("input[type=search]")).not_to_be_focused()


def test_a_control_is_used_again_and_again_by_keyboard(visit):
    page = visit("/?q=red&min_confidence=0")
    slider, order = page.locator("input[type=range]"), page.locator("select[name=sort]")
    slider.focus()
    for percent in (1, 2):
        page.keyboard.press("ArrowRight")
        page.wait_for_url(f"**min_confidence=0.0{percent}**")
        expect(slider).to_be_focused()
    order.focus()
    order.select_option("date")
    page.wait_for_url("**sort=date**")
    expect(order).to_be_focused()
    page.goto("/photo/1?q=red&at=2&min_confidence=0")
    page.locator(".following").press("Enter")
    page.wait_for_url("**at=3")
    page.locator(".following:focus").press("Enter")
    page.wait_for_url("**at=4")
    page.locator(".tags a").first.press("Enter")
    page.wait_for_url("**show=**")
    expect(page.locator(".tags a").first).to_be_focused()


def test_a_mark_says_what_it_does_and_shows_in_a_page_that_the_browser_kept(visit):
    page = visit("/?q=green&min_confidence=0")
    page.clock.install()
    page.locator(".grid a").first.focus()
    page.keyboard.press("-")
    toast = page.locator(".toast.shown")
    expect(toast).to_contain_text("left out of “green” from now on")
    toast.locator("button").focus()
    page.clock.fast_forward(60_000)
    expect(toast).to_be_visible()  # stays while it is in use
    page.evaluate("document.activeElement.blur()")
    page.clock.fast_forward(20_000)
    expect(toast).to_have_count(0)
    page.evaluate(
        """() => {
          document.querySelector(".grid .bad").classList.remove("bad");
          dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
        }"""
    )
    expect(page.locator(".grid li[data-id]").first).to_have_class(re.compile("bad"))
    page.keyboard.press("u")
    expect(page.locator(".grid .bad")).to_have_count(0)


def test_what_cannot_be_sent_says_so_and_an_ended_session_leads_to_the_login(visit):
    visit.expected += ["net::ERR_FAILED", "401"]
    page = visit("/?q=red&min_confidence=0")
    page.route("**/filters?**", lambda route: route.abort())
    page.locator("#filters-link").click()
    expect(page.locator(".toast.shown")).to_contain_text("The server does not answer")
    page.route("**/feedback", lambda route: route.abort(), times=1)
    page.locator(".grid a").first.focus()
    page.keyboard.press("+")
    expect(page.locator(".toast.shown")).to_contain_text("That did not work: The server does not answer")
    page.route("**/feedback", lambda route: route.fulfill(status=401, json={"title": "Unauthorized"}))
    with page.expect_navigation():  # is sent on to the login page
        page.keyboard.press("+")


def test_going_back_leads_to_where_the_results_were_scrolled_to(visit):
    page = visit("/?q=green&min_confidence=0")
    page.keyboard.press("End")
    expect(page.locator(".more")).to_have_count(0)
    place = page.evaluate("scrollTo(0, document.documentElement.scrollHeight - innerHeight - 200), scrollY")
    search(page, "red")
    page.wait_for_url("**q=red**")
    page.wait_for_function("() => scrollY === 0")
    page.go_back()
    page.wait_for_function("place => scrollY === place", arg=place)
    page.locator(".grid a").last.click()
    page.wait_for_url("**/photo/**")
    page.go_back()
    page.wait_for_function("place => Math.abs(scrollY - place) < 300", arg=place)
    assert page.evaluate("scrollY > 0")


def test_going_back_while_more_is_on_its_way_leads_there_too(visit):
    page = visit("/?q=green&min_confidence=0")
    page.keyboard.press("End")
    expect(page.locator(".more")).to_have_count(0)
    place = page.evaluate("scrollTo(0, document.documentElement.scrollHeight - innerHeight - 200), scrollY")
    page.wait_for_function("() => history.state?.y === scrollY")
    held = []
    page.route("**/*q=red*cursor*", lambda route: held.append(route))  # noqa: PLW0108  (Playwright looks into it)
    search(page, "red")
    page.wait_for_function("() => scrollY === 0 && location.search.includes('red')")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    while not held:
        page.wait_for_timeout(20)
    page.go_back()
    page.wait_for_function("() => document.querySelector('.grid a').href.includes('q=green')")
    held[0].fallback()
    page.wait_for_function("place => scrollY === place", arg=place)


def test_beside_an_unknown_word_a_photo_has_its_heading_and_photos_like_it(visit):
    visit.expected += ["422"]
    page = visit("/photo/1?q=xqzzt")
    expect(page.get_by_role("heading", level=1)).to_contain_text("xqzzt")
    expect(page.locator("#similar img").first).to_be_attached()


def test_on_a_phone_what_is_typed_has_the_whole_bar(visit):
    page = visit("/?q=red&min_confidence=0", viewport={"width": 360, "height": 740})
    box = page.locator("input[type=search]")
    before = box.bounding_box()["width"]
    box.focus()
    assert box.bounding_box()["width"] > before + 100
    cut, order = page.locator("#cut").bounding_box(), page.locator("select[name=sort]").bounding_box()
    assert cut["width"] > 90
    assert cut["y"] + cut["height"] <= order["y"] or cut["x"] + cut["width"] <= order["x"]
