"""Names that are markup, a server that is gone, calls that fail, a browser without scripts."""

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from engine.library.store import Store
from engine.settings import Settings
from tests.e2e.conftest import HOSTILE
from tests.webapp.conftest import index
from tests.webapp.serving import COLOUR_SERVE, started


@pytest.fixture(scope="module")
def settings(tmp_path_factory, colour_bundle, photos):
    folder = tmp_path_factory.mktemp("amiss")
    index(folder, colour_bundle, sorted(path for path in photos.rglob("*") if path.is_file()))
    with Store.create(folder, colour_bundle.name, colour_bundle.fingerprint) as store:
        store.remember_root(str(photos))
    return Settings(library=folder, model=str(colour_bundle.folder), cache=colour_bundle.cache)


@pytest.fixture(scope="module")
def server(settings):
    with started(settings, code=COLOUR_SERVE) as running:
        yield running


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


def test_when_the_server_is_gone_the_page_says_so_and_goes_on_later(visit, settings):
    with started(settings, code=COLOUR_SERVE) as server:
        visit.expected += ["net::ERR_", server.address]
        page = visit(f"{server.address.rstrip('/')}/?q=red&min_confidence=0")
        shown = page.locator(".grid li").count()
    page.keyboard.press("/")
    page.keyboard.type("rouge")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("The server does not answer")
    expect(page.locator(".grid li")).to_have_count(shown)
    with started(settings, "--port", str(urlsplit(server.address).port), code=COLOUR_SERVE):
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
