"""The whole way, from nothing to a list of photos, with the keyboard alone."""

import csv
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from engine.settings import Settings
from tests.webapp.serving import COLOUR_SERVE, started


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
    page.keyboard.press("Escape")

    page.keyboard.press("/")
    page.keyboard.type("rouge")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=rouge**")
    expect(page.get_by_text("was never a label in training")).to_be_visible()

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
    first = urlsplit(page.url).path
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: urlsplit(url).path != first)
    assert page.url.endswith("at=1")  # it has moved up, as the first one is said to be none
    page.keyboard.press("Escape")
    page.wait_for_url("**/?q=rouge**")

    page.keyboard.press("?")
    expect(page.locator("dialog kbd").first).to_be_visible()
    page.keyboard.press("Escape")

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
