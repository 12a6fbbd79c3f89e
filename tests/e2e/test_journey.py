"""The whole way, from nothing to a list of photos, with the keyboard alone; and the pages when something is amiss."""

import csv
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from engine.settings import Settings
from tests.conftest import paint
from tests.webapp.conftest import exif
from tests.webapp.serving import COLOUR_SERVE, started

HOSTILE = [
    "<script>alert(1)</script>".replace("/", "∕"),
    "\"'><img src=x onerror=alert(1)>",
    "\u202egnp.eman\u202c",
    "👩‍👩‍👧 giraffe 🦒",
    "n" * 251,
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(1, 13):
        taken = exif(datetime(2020 + i % 4, i, 3, tzinfo=UTC), "Pinhole 7" if i % 2 else "Box Brownie")
        paint(folder / "red" / f"{i:02}.jpg", "black", "red", (i % 4, i % 3), size=(96 + 8 * i, 80), exif=taken)
    for i, name in enumerate(HOSTILE):  # no two alike, or they would be one hit
        paint(folder / "odd" / f"{name}.png", "red", size=(80 + i, 64))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory, colour_bundle, photos):
    settings = Settings(
        library=tmp_path_factory.mktemp("fresh") / "library",
        model=str(colour_bundle.folder),
        cache=colour_bundle.cache,
    )
    with started(settings, code=COLOUR_SERVE, UNSEEN_ROOTS=str(photos)) as running:
        yield running


def tab_to(page, selector):
    """Press Tab until what the selector names has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with the keyboard")


def test_from_an_empty_library_to_a_list_of_photos_with_the_keyboard_alone(visit):
    page = visit("/")
    expect(page.get_by_role("heading", name="Nothing is indexed yet")).to_be_visible()
    tab_to(page, ".begin .button")
    page.keyboard.press("Enter")
    expect(page.locator(".grid li[data-id]").first).to_be_attached(timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.evaluate("document.activeElement.blur()")

    page.keyboard.press("/")
    page.keyboard.type("rouge")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=rouge**")
    expect(page.get_by_text("was never a label in training")).to_be_visible()

    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("h")
    expect(page.locator(".grid canvas").first).to_be_attached()
    page.keyboard.press("+")
    expect(page.locator(".toast")).to_contain_text("Marked as a match")
    expect(page.locator(".grid li.good")).to_have_count(1)
    page.keyboard.press("u")
    expect(page.locator(".grid li.good")).to_have_count(0)
    page.keyboard.press("-")
    expect(page.locator(".grid li.bad")).to_have_count(1)

    page.keyboard.press("Enter")
    page.wait_for_url("**/photo/**")
    expect(page.locator("#layers canvas")).to_be_attached()
    page.keyboard.press("r")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**region=**")
    expect(page.locator("#similar h2")).to_contain_text("what is there")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**at=2")
    page.keyboard.press("Escape")
    page.wait_for_url("**/?q=rouge**")

    tab_to(page, "#filters-link")
    page.keyboard.press("Enter")
    expect(page.locator("dialog select[name=camera]")).to_be_visible()
    tab_to(page, "dialog select[name=camera]")
    page.keyboard.type("Pin")
    tab_to(page, "dialog .button.main")
    page.keyboard.press("Enter")
    page.wait_for_url("**camera**")
    assert "camera:" in page.locator("input[type=search]").input_value()
    expect(page.locator(".chip")).to_contain_text("Pinhole 7")

    tab_to(page, "select[name=sort]")
    page.keyboard.press("n")
    page.wait_for_url("**sort=date**")
    years = [heading.split()[-1] for heading in page.locator(".month").all_inner_texts()]
    assert years == sorted(years, reverse=True)
    assert len(set(years)) > 1

    tab_to(page, ".end a")
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    rows = list(csv.DictReader(waiting.value.path().open(encoding="utf-8")))
    assert len(rows) == page.locator(".grid li[data-id]").count()
    assert rows[0]["path"].endswith(page.locator(".grid img").first.get_attribute("alt"))


def test_hostile_names_are_shown_as_text(visit, photos):
    page = visit(f"/?q=red&min_confidence=0&folder={photos}/odd")
    names = {image.get_attribute("alt") for image in page.locator(".grid img").all()}
    assert names == {f"{name}.png" for name in HOSTILE}
    for i in range(len(HOSTILE)):
        page.goto(f"/?q=red&min_confidence=0&folder={photos}/odd")
        page.locator(".grid a").nth(i).click()
        page.wait_for_url("**/photo/**")
        name = page.locator("img.photo").get_attribute("alt")
        assert name in page.locator(".panel dd.path").text_content()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_when_the_server_is_gone_the_page_says_so_and_goes_on_later(visit):
    visit.expected += ["ERR_FAILED"]
    page = visit("/?q=red&min_confidence=0")
    shown = page.locator(".grid li").count()
    page.route("**/*", lambda route: route.abort())
    page.keyboard.press("/")
    page.keyboard.type("rouge")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("The server does not answer")
    expect(page.locator(".grid li")).to_have_count(shown)
    page.unroute("**/*")
    page.locator(".toast button").click()
    page.wait_for_url("**q=rouge**")


def test_when_a_call_fails_the_page_says_why(visit):
    visit.expected += ["500"]
    page = visit("/?q=red&min_confidence=0")
    answer = {"status": 500, "content_type": "application/problem+json", "body": '{"detail": "The disk is full"}'}
    page.route("**/api/v1/feedback", lambda route: route.fulfill(**answer))
    page.route("**/heatmap?**", lambda route: route.fulfill(**answer))
    page.locator(".grid a").first.focus()
    page.keyboard.press("+")
    expect(page.locator(".toast")).to_contain_text("The disk is full")
    page.keyboard.press("h")
    expect(page.locator(".toast")).to_contain_text("heatmap could not be loaded")
    expect(page.locator(".grid canvas")).to_have_count(0)


def test_without_scripts_photos_are_marked_filtered_and_explored(visit):
    page = visit("/photo/1?q=red", java_script_enabled=False)
    page.get_by_role("button", name="Match", exact=True).click()
    expect(page.get_by_role("button", name="Match", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Match", exact=True)).to_have_attribute("aria-pressed", "false")
    page.goto("/filters?q=red")
    page.locator("select[name=camera]").select_option("Pinhole 7")
    page.get_by_role("button", name="Show these").click()
    page.wait_for_url("**camera**")
    page.locator(".chip").click()
    expect(page.locator(".chip")).to_have_count(0)
    page.goto("/explore")
    page.locator(".years td a").first.click()
    expect(page.locator(".month")).to_have_count(1)
    page.goto("/library")
    page.get_by_role("button", name="Look again").first.click()
    page.wait_for_url("**/library")
    expect(page.locator("#job")).to_be_visible()
