"""The page at `/` in a real Chromium: tabs chat, see each other, hear notifications, and survive dead gateways."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from tests.support.api_clients import administer
from tests.support.browser import chromium
from tests.support.stack import ROOT, Stack
from tests.support.visitors import AWAY, Visitor, Visits

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def visit(stack: Stack, browser: Browser) -> Iterator[Visits]:
    with ExitStack() as tabs:
        yield Visits(stack, browser, tabs)


def notify(stack: Stack, **fields: str) -> None:
    """Send a notification; whether it arrived shows on the page (the count in the answer lags by half a second)."""
    answer = httpx2.post(f"{stack.url}/notify/demo", data=fields, headers=stack.bearer())
    assert answer.status_code == 200, answer.text


def test_two_tabs_chat_with_names_members_and_typing(visit: Visits, tmp_path: Path) -> None:
    ada = visit.join("ada")
    expect(ada.page.get_by_text("Nothing said yet")).to_be_visible()
    expect(ada.page.get_by_text("Only you so far")).to_be_visible()
    grace = visit.join("grace", color_scheme="dark")
    for visitor in (ada, grace):
        visitor.expect_people(ada.name, grace.name)
    expect(ada.page.get_by_text(f"{grace.name} joined")).to_be_visible()

    ada.say("Hello!")
    grace.say("<img src=x onerror=alert(1)> is only text")
    ada.page.get_by_role("textbox", name="Message").press_sequentially("I am")
    expect(grace.page.locator("#typing")).to_have_text(f"{ada.name} is typing")
    expect(ada.page.locator("#typing")).to_have_text("")
    ada.tab.screenshot(tmp_path / "ada.png")
    grace.tab.screenshot(tmp_path / "grace.png")

    for visitor, other in ((ada, grace), (grace, ada)):
        visitor.expect_said("Hello!", "<img src=x onerror=alert(1)> is only text")
        expect(visitor.page.locator("#messages .head b").filter(has_text="You")).to_have_count(1)
        expect(
            visitor.page.locator("#messages .head b").filter(has_text=other.name)
        ).to_be_visible()
    grace.page.get_by_role("button", name="Leave").click()
    ada.expect_people(ada.name)
    expect(ada.page.get_by_text(f"{grace.name} left")).to_be_visible()
    assert not ada.tab.errors + grace.tab.errors


def test_the_keyboard_is_enough(visit: Visits) -> None:
    ada = visit.welcome()
    ada.page.get_by_label("Your name").fill(f"ada-{secrets.token_hex(3)}")
    ada.page.keyboard.press("Enter")
    ada.expect_state("Connected")
    ada.page.keyboard.type("Without a mouse")
    ada.page.keyboard.press("Enter")
    ada.expect_said("Without a mouse")
    ada.page.locator("#skip").focus()
    ada.page.keyboard.press("Enter")
    expect(ada.page.get_by_role("textbox", name="Message")).to_be_focused()
    expect(ada.page.locator("#room-name")).to_have_text(visit.room)
    assert not ada.tab.errors


def test_who_comes_later_reads_what_was_said(visit: Visits) -> None:
    ada = visit.join("ada")
    for text in ("one", "two"):
        ada.say(text)
    ada.expect_said("one", "two")
    grace = visit.join("grace")
    grace.expect_said("one", "two")
    grace.page.reload()
    grace.expect_state("Connected")
    grace.expect_said("one", "two")
    assert not ada.tab.errors + grace.tab.errors


def test_notifications_and_publications_over_http_appear(visit: Visits, stack: Stack) -> None:
    ada = visit.join("ada")
    notify(stack, title="Deployed", message="Version 1.2 is live", level="success")
    stack.publish(f"user:{ada.name}", {"title": "Only for you"})
    stack.publish("public:all", "For all of you")
    stack.publish(f"room:{visit.room}", {"text": "from the back end"})

    for title in ("Deployed", "Only for you", "For all of you"):
        expect(ada.toast(title)).to_be_visible()
        expect(ada.page.locator("#notifications li").filter(has_text=title)).to_have_count(1)
    ada.expect_said("from the back end")
    assert not ada.tab.errors


def test_notifications_from_before_are_listed_after_a_reload_and_new_ones_announced(
    visit: Visits, stack: Stack
) -> None:
    tag = secrets.token_hex(4)
    titles = [f"{tag} {number}" for number in range(12)]
    ada = visit.join("ada")
    for title in titles:
        notify(stack, title=title)
    listed = ada.page.locator("#notifications li b")
    badge = ada.page.locator("#notifications-title [data-notifications]")
    expect(listed.filter(has_text=tag)).to_have_text(titles[::-1])
    expect(badge).not_to_be_empty()

    ada.page.reload()
    ada.expect_state("Connected")
    expect(listed).to_have_text(titles[:1:-1])  # the newest ten
    expect(ada.page.locator("#toasts li")).to_have_count(0)
    expect(badge).to_be_empty()

    notify(stack, title=f"{tag} new")
    expect(ada.toast(f"{tag} new")).to_be_visible()
    expect(listed).to_have_text([f"{tag} new", *titles[:1:-1]])
    expect(badge).to_have_text("1")

    ada.page.get_by_role("button", name="Leave").click()
    expect(ada.page.locator("#notifications li, #toasts li")).to_have_count(0)
    assert not ada.tab.errors


def test_a_link_to_a_name_that_no_room_can_have_leads_to_no_other_room(visit: Visits) -> None:
    ada = visit.join("ada")
    ada.page.evaluate("location.hash = 'room=my/room'")
    field = ada.page.locator("#room-field")
    expect(field).to_have_value("my/room")
    assert "A room's name" in field.evaluate("field => field.validationMessage")
    expect(ada.page.locator("#room-name")).to_have_text(visit.room)
    assert ada.page.url.endswith(f"#room={visit.room}")
    newcomer = visit.welcome()
    newcomer.page.locator("#room").fill("my/room")
    newcomer.page.get_by_role("button", name="Join the room").click()
    expect(newcomer.page.get_by_role("alert")).to_contain_text("“my/room”")
    newcomer.page.locator("#room").fill("a+b|c")
    newcomer.page.get_by_role("button", name="Join the room").click()
    expect(newcomer.page.locator("#room-name")).to_have_text("a+b|c")
    newcomer.page.reload()
    expect(newcomer.page.locator("#room-name")).to_have_text("a+b|c")


def run_lines(visitor: Visitor, stack: Stack, name: str) -> None:
    """Run what a tab of "From your back end" shows, with the secret that the terminal of `make run` shows."""
    visitor.page.get_by_role("tab", name=name).click()
    line = "\n".join(visitor.page.locator("#try pre").all_inner_texts())
    secret = stack.run["clients"][0]["client_secret"]
    assert secret in stack.screen
    line = line.replace("demo:SECRET", f"demo:{secret}")
    # In no folder of ours: nothing needs the repository.
    subprocess.run(["/bin/sh", "-c", line], cwd="/", check=True, timeout=30)


def test_the_lines_to_try_work_in_a_room_whose_name_means_something_to_a_shell(
    visit: Visits, stack: Stack
) -> None:
    visit.room = f"a|b=c+d@e.{secrets.token_hex(3)}"
    ada = visit.join("ada")
    run_lines(ada, stack, "Publish")
    ada.expect_said("Hello from HTTP")


def test_the_lines_to_try_work_as_shown(visit: Visits, stack: Stack) -> None:
    ada = visit.join("ada")
    for name in ("Notify", "Publish", "To you"):
        run_lines(ada, stack, name)
    for title in ("It works", "Only for you"):
        expect(ada.page.locator("#notifications li").filter(has_text=title)).to_have_count(1)
    ada.expect_said("Hello from HTTP")


def test_names_and_rooms_are_in_any_script(visit: Visits) -> None:
    tag = secrets.token_hex(3)
    visit.room = f"комната-{tag}"
    ada, grace = visit.welcome(), visit.welcome()
    for visitor, name in ((ada, f"Мария-{tag}"), (grace, f"花子-{tag}")):
        visitor.join(name)
        expect(visitor.page.locator("#room-name")).to_have_text(f"комната-{tag}")
        expect(visitor.page.locator("#me")).to_have_text(name.lower())
    grace.say("こんにちは")
    ada.expect_said("こんにちは")
    for part in ("#messages .head b", "#people .name", "#gateways .name"):
        expect(ada.page.locator(part).filter(has_text=f"花子-{tag}")).to_have_count(1)
    ada.page.reload()
    ada.expect_state("Connected")
    expect(ada.page.locator("#room-field")).to_have_value(f"комната-{tag}")
    expect(ada.page.locator("#me")).to_have_text(f"мария-{tag}")
    expect(ada.page.locator("#code")).to_contain_text("room:xn--")
    assert not ada.tab.errors + grace.tab.errors


def copy(visitor: Visitor) -> str:
    """What the button gives that copies the code. It says so for less than two seconds: the page looks, not we."""
    button = visitor.page.locator("#code").get_by_role("button", name="Copy")
    button.evaluate(
        "button => { window.said = new Promise(resolve => new MutationObserver(() => resolve(button.textContent))"
        ".observe(button, {childList: true})); }"
    )
    button.click()
    assert visitor.page.evaluate("window.said") == "Copied"
    copied: str = visitor.page.evaluate("navigator.clipboard.readText()")
    return copied


def test_what_the_tab_sends_is_counted_and_can_be_sent_again_from_a_shell(
    visit: Visits, stack: Stack
) -> None:
    ada = visit.join("ada", permissions=["clipboard-read", "clipboard-write"])
    text = 'it\'s "quoted" and $HOME'
    ada.say(text)
    ada.expect_said(text)
    expect(ada.page.locator("#count")).to_have_text("1 sent = 1 received")
    expect(ada.page.locator("#count-all")).to_have_text(
        "1 message in this room: 0 missing, 0 twice"
    )
    row = ada.page.locator("#frames button").filter(has_text="publish").filter(has_text="sent")
    row.click()
    expect(row).to_have_attribute("aria-pressed", "true")
    code = ada.page.locator("#code")
    expect(code).to_contain_text(f"To publish this in room:{visit.room}")
    shown = code.locator("pre").inner_text()
    copied = copy(ada)
    [token] = re.findall(r"Bearer (eyJ[\w.-]+)", copied)
    page_text = ada.page.locator("body").inner_text()
    assert token not in page_text
    assert f"Bearer {token[:6]}…{token[-4:]}" in shown
    done = subprocess.run(
        ["/bin/sh", "-c", copied], cwd="/", capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode in (0, 28), done.stderr  # curl's end after its seconds
    ada.expect_said(text, text)
    for language in ("Python", "JavaScript", "React"):
        ada.page.get_by_role("tab", name=language, exact=True).click()
        expect(code).to_contain_text("quoted")
        assert token not in code.inner_text()
    assert not ada.tab.errors


def test_what_is_copied_as_python_publishes(visit: Visits) -> None:
    ada = visit.join("ada", permissions=["clipboard-read", "clipboard-write"])
    ada.say("by the page")
    ada.expect_said("by the page")
    ada.page.get_by_role("tab", name="Python", exact=True).click()
    expect(ada.page.locator("#code")).to_contain_text("by the page")
    program = copy(ada)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=30)
    ada.expect_said("by the page", "by the page")


def test_a_button_to_copy_outlives_the_frames_that_come(visit: Visits) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")
    ada.say("by the page")
    ada.expect_said("by the page")
    expect(ada.page.locator("#code")).to_contain_text("by the page")
    button = ada.page.locator("#code").get_by_role("button", name="Copy").element_handle()
    grace.say("by another page")
    expect(ada.page.locator("#frames")).to_contain_text("by another page")
    assert button.evaluate("button => button.isConnected")


def test_a_click_ends_on_what_it_began_on_while_frames_come(visit: Visits) -> None:
    """The list grows above the tabs, and draws its rows anew: neither may take a click that is under way."""
    ada, grace = visit.join("ada"), visit.join("grace")
    ada.say("first")
    ada.expect_said("first")
    frames = ada.page.locator("#frames button")
    row = frames.filter(has_text="publish").filter(has_text="sent")
    tab = ada.page.get_by_role("tab", name="Python", exact=True)
    for target, chosen, text in (
        (row, "aria-pressed", "by another page"),
        (tab, "aria-selected", "and again"),
    ):
        target.hover()
        ada.page.mouse.down()
        grace.say(text)
        expect(ada.page.locator("#messages")).to_contain_text(text)
        ada.page.wait_for_timeout(600)  # more than twice what passes between two drawings
        ada.page.mouse.up()
        expect(target).to_have_attribute(chosen, "true")
        expect(frames.filter(has_text=text)).to_have_count(1)


def test_what_is_copied_as_javascript_publishes_from_a_page_of_another_origin(
    visit: Visits, stack: Stack
) -> None:
    ada = visit.join("ada", permissions=["clipboard-read", "clipboard-write"])
    ada.say("by the page")
    ada.expect_said("by the page")
    ada.page.get_by_role("tab", name="JavaScript", exact=True).click()
    expect(ada.page.locator("#code")).to_contain_text("by the page")
    program = copy(ada)
    other = ada.tab.context.new_page()
    other.goto(stack.url.replace("127.0.0.1", "localhost") + "/healthz")
    other.add_script_tag(content=program, type="module")
    ada.expect_said("by the page", "by the page")


def test_a_killed_gateway_costs_its_tabs_nothing(visit: Visits, stack: Stack) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")
    room = f"room:{visit.room}"
    said = []
    for victim in (ada, grace):
        gateway = victim.gateway()
        stack.down(gateway)
        for n in range(10):
            said.append(f"{gateway} is dead, {n}")
            stack.publish(room, {"text": said[-1]})
        stack.up(gateway)
        for visitor in (ada, grace):
            visitor.expect_state("Connected", AWAY)
            visitor.expect_said(*said, timeout=AWAY)
    for visitor in (ada, grace):
        assert visitor.offsets() == list(range(1, len(said) + 1))
        visitor.expect_people(ada.name, grace.name)
        expect(visitor.page.get_by_text("recovered", exact=False).first).to_be_attached()
        # Another gateway lived all the time: not even a failed handshake.
        assert not visitor.tab.errors


def test_who_comes_back_from_a_killed_gateway_is_not_there_twice(
    visit: Visits, stack: Stack
) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")
    for visitor in (ada, grace):
        visitor.expect_people(ada.name, grace.name)
    path = f"{stack.url}/v1/channels/room:{visit.room}/presence"
    victim = ada.gateway()
    stack.down(victim)
    try:
        for visitor in (ada, grace):
            visitor.expect_state("Connected", AWAY)
            visitor.expect_people(ada.name, grace.name)
        # The dead gateway's lease lasts for seconds more.
        present = httpx2.get(path, headers=stack.bearer()).json()
        assert (present["count"], present["users"]) == (2, 2)
        for visitor in (ada, grace):
            expect(visitor.page.locator("#people")).not_to_contain_text("2 tabs")
            expect(visitor.page.get_by_text(" left")).to_have_count(0)
    finally:
        stack.up(victim)


@pytest.mark.parametrize("button", ["Drop my line", "Move me"])
def test_a_visitor_breaks_the_line_and_reads_what_came_of_it(visit: Visits, button: str) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")
    ada.expect_people(ada.name, grace.name)
    ada.page.get_by_role("button", name=button).click()
    said = ada.page.locator("#break-said")
    expect(said).to_have_text(re.compile(r"^Back after \d+ ms, on gateway-\d: "), timeout=AWAY)
    expect(said).to_contain_text(re.compile(r"(\d+) missed, \1 recovered, 0 lost\."))
    grace.say("after it")
    ada.expect_said("after it")
    expect(grace.page.get_by_text(" left")).to_have_count(0)
    assert not ada.tab.errors + grace.tab.errors


def test_without_network_the_page_does_not_say_connected(visit: Visits) -> None:
    ada = visit.join("ada")
    ada.tab.context.set_offline(True)
    expect(ada.page.locator("#state")).not_to_have_text("Connected")
    ada.say("written in a tunnel")
    expect(ada.page.get_by_text("Waits for the connection")).to_be_visible()
    expect(ada.page.locator("#state")).not_to_have_text("Connected")
    ada.tab.context.set_offline(False)
    ada.expect_state("Connected", AWAY)
    ada.expect_said("written in a tunnel", timeout=AWAY)


def test_tabs_move_to_another_gateway_when_theirs_leaves_and_nobody_sees_it(
    visit: Visits, stack: Stack
) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")
    ada.expect_people(ada.name, grace.name)
    moving = ada.gateway()
    stack.kill(moving, signal.SIGTERM)
    for visitor in (ada, grace):
        visitor.expect_state("Connected", AWAY)
        visitor.page.wait_for_timeout(
            4000
        )  # longer than the page waits before it says that somebody left
        visitor.expect_people(ada.name, grace.name)
        expect(visitor.page.get_by_text(" left")).to_have_count(0)
    ada.say("Still here")
    grace.expect_said("Still here")
    assert int(ada.page.locator("#fact-returns").text_content() or 0) >= 1
    assert not ada.tab.errors + grace.tab.errors


def test_with_every_gateway_dead_messages_wait_and_are_sent_once(
    visit: Visits, stack: Stack
) -> None:
    ada, grace = visit.join("ada"), visit.join("grace")
    ada.say("before")
    grace.expect_said("before")
    for gateway in ("gateway-1", "gateway-2"):
        stack.down(gateway)
    expect(ada.page.locator("#state")).to_contain_text("Reconnecting")
    ada.say("while nobody listens")
    expect(ada.page.get_by_text("Waits for the connection")).to_be_visible()
    stack.publish(f"room:{visit.room}", {"text": "missed"})
    notify(stack, title="Missed as well")
    for gateway in ("gateway-1", "gateway-2"):
        stack.up(gateway)

    for visitor in (ada, grace):
        visitor.expect_state("Connected", AWAY)
        visitor.expect_said("before", "missed", "while nobody listens", timeout=AWAY)
        expect(
            visitor.page.locator("#notifications li").filter(has_text="Missed as well")
        ).to_have_count(1)
        assert visitor.offsets() == [1, 2, 3]
        # What the browser itself says of handshakes that nobody answered, and of the way over HTTP, tried after two.
        said = ("WebSocket connection", "Failed to load resource")
        assert all(any(words in error for words in said) for error in visitor.tab.errors)


def test_where_websocket_is_blocked_two_people_talk_over_http(visit: Visits) -> None:
    # A port where nobody listens, in place of a proxy that cuts the handshake; the page's policy would let it wait.
    blocked = "window.WebSocket = class extends WebSocket { constructor() { super('ws://127.0.0.1:1'); } };"
    ada, grace = visit.welcome(bypass_csp=True), visit.join("grace")
    ada.page.add_init_script(blocked)
    ada.page.reload()
    ada.join(f"ada-{secrets.token_hex(3)}")
    ada.say("over HTTP")
    grace.expect_said("over HTTP")
    grace.say("over WebSocket")
    for visitor in (ada, grace):
        visitor.expect_said("over HTTP", "over WebSocket")
        visitor.expect_people(ada.name, grace.name)
    assert not grace.tab.errors


def test_lost_history_is_told_and_what_is_void_disappears(visit: Visits, stack: Stack) -> None:
    ada = visit.join("ada")
    ada.say("kept by nobody")
    ada.expect_said("kept by nobody")
    answer = httpx2.delete(
        f"{stack.url}/v1/channels/room:{visit.room}/messages", headers=stack.bearer()
    )
    assert answer.is_success, answer.text
    expect(ada.page.get_by_text("Continuity was lost here")).to_be_visible()
    ada.say("a new beginning")
    expect(ada.page.locator("#messages .bubble").last).to_have_text("a new beginning")
    assert not ada.tab.errors


def test_a_tab_sent_away_stays_away_until_asked(visit: Visits, stack: Stack) -> None:
    ada = visit.join("ada")
    answer = httpx2.post(
        f"{stack.url}/v1/users/{ada.name}/disconnect",
        json={"code": 4004, "reason": "maintenance"},
        headers=stack.bearer(),
    )
    assert answer.status_code == 202, answer.text
    ada.expect_state("Disconnected")
    expect(ada.page.get_by_role("alert").filter(has_text="maintenance")).to_be_visible()
    ada.page.get_by_role("button", name="Connect again").click()
    ada.expect_state("Connected")
    assert not ada.tab.errors


def test_a_taken_name_is_answered_with_another(visit: Visits) -> None:
    ada = visit.join("ada")
    second = visit.welcome()
    second.page.get_by_label("Your name").fill(ada.name)
    second.page.get_by_role("button", name="Join the room").click()
    expect(second.page.get_by_role("alert")).to_contain_text("is taken")
    second.page.get_by_role("button", name="Join the room").click()
    second.expect_state("Connected")
    ada.page.wait_for_function("document.querySelectorAll('#people li').length === 2")


def test_a_password_or_a_token_signs_in_too(visit: Visits, stack: Stack) -> None:
    alice, minted = visit.welcome(), visit.welcome()
    user = stack.run["users"][0]
    for visitor in (alice, minted):
        visitor.page.get_by_text("Sign in with a password or a token").click()
    alice.page.get_by_label("User name").fill(user["username"])
    alice.page.get_by_label("Password").fill("wrong")
    alice.page.get_by_role("button", name="Sign in").click()
    expect(alice.page.get_by_role("alert")).to_contain_text("password is wrong")
    alice.page.get_by_label("Password").fill(user["password"])
    alice.page.get_by_role("button", name="Sign in").click()
    minted.page.get_by_label("Token").fill(stack.connect_token("crm:42"))
    minted.page.get_by_role("button", name="Use the token").click()
    for visitor in (alice, minted):
        visitor.expect_people(user["username"], "crm:42")
        # Nothing of the person or the token is in the address.
        assert re.fullmatch(r"#room=[0-9a-f]+", visitor.page.url.removeprefix(f"{stack.url}/"))
    kept = alice.page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")
    assert user["password"] not in kept


@pytest.mark.slow
def test_where_registration_is_closed_a_token_of_the_back_end_opens_the_page(
    browser: Browser, tmp_path: Path
) -> None:
    closed = {"OPENLINE_AUTH_REGISTRATION": "closed", "OPENLINE_AUTH_PASSWORD_GRANT": "off"}
    with Stack(tmp_path, **closed) as stack, ExitStack() as tabs:
        ada = Visits(stack, browser, tabs).welcome()
        ada.page.get_by_role("button", name="Join the room").click()
        expect(ada.page.get_by_role("alert")).to_contain_text("does not let people register")
        ada.page.get_by_label("User name").fill("ada")
        ada.page.get_by_label("Password").fill("anything")
        ada.page.get_by_role("button", name="Sign in").click()
        expect(ada.page.get_by_role("alert")).to_contain_text("takes no passwords")
        # So short a life that it ends while the page is open.
        ada.page.get_by_label("Token").fill(stack.connect_token("ada", ttl=8))
        ada.page.get_by_role("button", name="Use the token").click()
        ada.expect_people("ada")
        expect(ada.page.get_by_role("alert")).to_contain_text("sign-in has ended", timeout=AWAY)


@pytest.mark.slow
def test_without_the_demonstrations_client_the_lines_to_try_work_with_ones_own(
    browser: Browser, tmp_path: Path
) -> None:
    with (
        Stack(tmp_path, OPENLINE_AUTH_PASSWORD_GRANT="off") as stack,
        ExitStack() as tabs,
    ):
        visits = Visits(stack, browser, tabs)
        ada = visits.welcome()
        ada.page.get_by_text("Sign in with a password or a token").click()
        ada.page.get_by_label("Token").fill(stack.connect_token("ada"))
        ada.page.get_by_role("button", name="Use the token").click()
        ada.expect_state("Connected")
        expect(ada.page.locator("#try")).to_contain_text("docs/deploy/compose.md")
        # As the page says, and the two documents that it names.
        scope = "publish read manage tokens"
        client = administer(stack, "add-client", "backend", "--scope", scope)
        names = ada.page.locator("#try-tabs").get_by_role("tab").all_inner_texts()
        assert names == ["Notify", "Publish", "To you"]
        for name in names:
            ada.page.get_by_role("tab", name=name).click()
            line = "\n".join(ada.page.locator("#try pre").all_inner_texts())
            assert "run.json" not in line
            line = line.replace("backend:SECRET", f"backend:{client['client_secret']}")
            subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, check=True, timeout=30)
        for title in ("It works", "Only for you"):
            expect(ada.page.locator("#notifications li").filter(has_text=title)).to_have_count(1)
        ada.expect_said("Hello from HTTP")
        assert not ada.tab.errors


@pytest.mark.slow
def test_while_the_store_hangs_the_page_does_not_say_connected(
    browser: Browser, tmp_path: Path
) -> None:
    with Stack(tmp_path) as stack, ExitStack() as tabs:
        ada = Visits(stack, browser, tabs).join("ada")
        stack.pause("redis")
        try:
            ada.expect_state("Waiting for an answer", AWAY)
            ada.say("asked while it hangs")
        finally:
            stack.resume("redis")
        ada.expect_state("Connected", AWAY)
        ada.expect_said("asked while it hangs", timeout=AWAY)


def test_the_page_loads_nothing_from_elsewhere(visit: Visits, stack: Stack) -> None:
    ada = visit.welcome()
    asked: list[str] = []
    ada.page.on("request", lambda request: asked.append(request.url))
    response = ada.page.reload()
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "script-src" in policy or "default-src 'self'" in policy
    assert "unsafe" not in policy
    ada.join(f"ada-{secrets.token_hex(3)}")
    assert asked
    assert all(url.startswith((stack.url, "data:")) for url in asked)
    assert not any("token=" in url for url in asked)
    assert not ada.tab.errors


def test_the_page_fits_a_telephone(visit: Visits, tmp_path: Path) -> None:
    ada = visit.join("a" * 50, device_scale_factor=2, is_mobile=True, has_touch=True)
    ada.page.set_viewport_size({"width": 360, "height": 740})
    ada.say("From a small screen")
    ada.expect_said("From a small screen")
    expect(ada.page.locator("#people")).to_be_hidden()
    ada.page.get_by_role("button", name="People").click()
    expect(ada.page.locator("#people")).to_be_visible()
    assert ada.page.locator("#people-panel").evaluate(
        "panel => panel.scrollWidth <= panel.clientWidth"
    )
    ada.tab.screenshot(tmp_path / "people.png")
    ada.page.get_by_role("button", name="People").click()
    width = ada.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    ada.tab.screenshot(tmp_path / "telephone.png")
