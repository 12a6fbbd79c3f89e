"""A person who is not on this machine: a token, the login page, and what they may then do, in a real browser."""

import pytest
from playwright.sync_api import expect

from engine.library.database import Database
from engine.library.tokens import Tokens
from engine.settings import Settings
from tests.conftest import paint
from tests.webapp.conftest import index
from tests.webapp.serving import started


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, colour_bundle):
    """A server that asks for a token, and the token."""
    folder = tmp_path_factory.mktemp("guarded")
    index(folder / "library", colour_bundle, [paint(folder / "red.png", "red"), paint(folder / "blue.png", "blue")])
    with Database.open(folder / "library", writable=True) as database:
        token = Tokens(database).new("visitor")
    settings = Settings(library=folder / "library", model=str(colour_bundle.folder), cache=colour_bundle.cache)
    with started(settings, "--auth") as running:
        yield running, token


def test_a_visitor_logs_in_gives_feedback_by_the_api_page_and_logs_in_again_elsewhere(browser, guarded):
    server, token = guarded
    page = browser.new_context(base_url=server.address).new_page()
    page.goto("/api/docs")
    page.wait_for_url("**/login?next=**")
    page.get_by_label("Token").fill("unseen_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not known")
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_url("**/api/docs")
    call = page.locator("details", has=page.locator("summary code", has_text="POST /api/v1/feedback"))
    call.locator("summary").click()
    call.locator("input[name=q]").fill("red")
    call.locator("input[name=image_id]").fill("2")
    call.locator("input[name=relevant]").check()
    call.get_by_role("button", name="Try").click()
    expect(call.locator("pre")).to_contain_text("201")
    page.goto("/?q=red&min_confidence=0")
    expect(page.locator("#results img, .grid img").first).to_have_attribute("alt", "blue.png")
    stranger = browser.new_context(base_url=server.address).new_page()
    stranger.goto("/?q=red")
    stranger.wait_for_url("**/login?next=**")
