"""The agents' desktop page in Chromium, against real servers.

`CALLMOOD_PICTURES=docs/pictures` writes the documentation's pictures of the page there.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.app import Node
from monitor.model import EmotionModel, default_path
from monitor.settings import Settings
from monitor.sources import CallNames
from monitor.sources.recording import Recordings
from monitor.tokens import Tokens
from tests.free_ports import free_port
from tests.peers.browser import Browser, chromium, colours, write
from tests.peers.desktop_server import Call, Server, Wire

EXAMPLES = Path(__file__).parents[2] / "examples" / "calls"
MARKUP = "<img src=x onerror=alert(1)>"
LIVE = "link.live && memory.settled"
NO_SERVER = "net::ERR_CONNECTION_REFUSED"
BROKEN = "WebSocket connection to"
WAITS_TO_BE_TOLD = "Object.defineProperty(link, 'retryAt', {get: () => Infinity, set: () => undefined})"
"""A page that lost its connection makes no new one by itself before it was seen to have none."""


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium() as driver:
        yield driver


@pytest.fixture
def browser(driver: Any) -> Iterator[Browser]:
    browser = Browser(driver)
    browser.look()
    yield browser
    browser.leave()


def follow(browser: Browser, server: Server, query: str = "?agent=4711", page: str = "") -> None:
    """Open the page and wait until it is live: from here on it hears everything."""
    browser.open((page or server.page) + query)
    browser.wait_for("#connection", "Live")


def anger(server: Server, name: str = "a call") -> str:
    """A call that was calm and is angry now; its alert."""
    call = server.call(name)
    call.say(150)
    call.say(20, None)
    call.say(60, "anger", "angry", confidence=0.81)
    return call.alert()


# ---- What it shows ----


def test_an_agent_is_followed_from_call_to_call_and_no_token_is_asked_for_where_none_is_needed(browser: Browser):
    with Server() as server:
        follow(browser, server)
        assert (browser.text("#empty strong"), browser.shows("#door")) == ("No call at the moment", False)
        server.call("somebody else's", agent="12").say(3)
        first = server.call("first")
        first.say(8, "happy", "satisfied")
        browser.wait_for(".mood", "Satisfied")
        first.end("satisfied")
        browser.wait_for(".label", "at the end of the call")
        server.call("second").say(8, "sad", "dissatisfied")
        browser.wait_for(".mood", "Dissatisfied")
        assert browser.run("return [...document.querySelectorAll('.call h2')].map(e => e.textContent)") == ["second"]
        assert (browser.text(".label").split(), browser.text(".trend")) == (
            ["Now", "sad", "70", "%", "sure"],
            "First minute: no trend yet",
        )


def test_a_recorded_call_through_the_whole_of_callmood_shows_growing_anger_and_how_it_ended(browser: Browser):
    recording = Recordings([EXAMPLES / "growing_anger.flac"], CallNames(), pace="fast", max_calls=1, agent="4711")
    node = Node(Settings(port=0), EmotionModel(default_path()), [recording])
    browser.open(node.serve().page_address + "?agent=4711")
    browser.wait_for("#connection", "Live")
    with node:
        assert node.finished.wait(20)
        browser.wait_for(".label", "at the end of the call")
    assert (browser.text(".mood"), browser.text(".trend")) == ("Angry", "↘ Tenser than at first")
    assert browser.run("return calls.get('growing_anger').strip.heard") == 181
    assert browser.run("return document.querySelectorAll('.cell.anger').length") > 8
    browser.faults_expected.append(BROKEN)


@pytest.mark.parametrize(
    ("state", "mood", "word", "text"),
    [
        ("uncertain", "calm", "Calm", "Uncertain 34 % at best"),
        ("silence", "calm", "Was calm", "Silent for 0:10"),
        ("too_little_speech", "calm", "Was calm", "Too little speech to tell for 0:10"),
        ("clipped", "angry", "Was angry", "Too loud a line to read for 0:10"),
        ("gap", "calm", "Was calm", "Audio was lost for 0:10"),
    ],
)
def test_what_is_not_known_never_looks_like_calm(browser: Browser, state: str, mood: str, word: str, text: str):
    with Server() as server:
        follow(browser, server)
        call = server.call()
        call.say(10, "neutral" if mood == "calm" else "anger", mood)
        call.say(20, None, mood, state=state, confidence=0.34)
        browser.wait_for(".mood", word)
        assert browser.text(".label").split() == text.split()
        assert browser.run("return document.querySelector('.call').classList.contains('unclear')") == (
            word.startswith("Was")
        )
        assert browser.run("return document.querySelectorAll('.cell.' + arguments[0]).length", state) >= 3


def test_a_call_that_is_not_read_and_one_that_falls_silent_say_so(browser: Browser):
    with Server() as server:
        follow(browser, server)
        call = server.call()
        browser.wait_for(".mood", "Listening…")
        call.say(10)
        browser.wait_for(".mood", "Calm")
        browser.run("calls.get('a call').callerHeardAt -= 9000; calls.get('a call').heardAt -= 9000; redraw()")
        browser.wait_for(".mood", "No sound")
        assert browser.text(".trend") == "before that: calm"
        server.call("unread", customer_scored=False)
        browser.wait("calls.get('unread')?.word.textContent === 'Not read'")
        assert browser.run("return calls.get('unread').strip.element.hidden")


def test_an_alert_that_is_quicker_than_the_mood_never_stands_beside_a_calm_face(browser: Browser):
    with Server() as server:
        follow(browser, server)
        call = server.call()
        call.say(10)
        browser.wait_for(".mood", "Calm")
        alert = call.alert()
        browser.wait_for(".mood", "Angry")
        call.say(2)
        call.clear(alert)
        browser.wait_for(".mood", "Calm")


def test_whoever_comes_late_is_told_of_no_trend_for_the_first_minute_was_not_heard(browser: Browser):
    with Server() as server:
        call = server.call()
        call.say(60)
        follow(browser, server)
        call.say(150, "anger")
        browser.wait_for(".trend", "No trend: joined late")


def test_who_speaks_now_is_told_of_both(browser: Browser):
    with Server() as server:
        follow(browser, server)
        call = server.call()
        call.say(1)
        browser.wait_for(".speakers", "Customer\nspeaks\nYou\na few words")
        call.say(1, None, state="silence", agent_share=0.8)
        browser.wait_for(".speakers", "Customer\nsilent\nYou\nspeaks")


def test_all_calls_stand_side_by_side_and_the_suggestion_is_a_key_away(browser: Browser):
    with Server() as server:
        follow(browser, server, "")
        server.call("first").say(8)
        anger(server, "second")
        browser.wait_for("#headline", "2 calls · 1 suggestion")
        browser.click("#show")
        assert browser.run("return document.activeElement.closest('.call').querySelector('h2').textContent") == "second"
        assert browser.run("return document.title") == "● The customer stays angry"


def test_text_from_outside_is_text(browser: Browser):
    with Server() as server:
        follow(browser, server, "")
        call = server.call(MARKUP, identity="<b>+49</b>")
        call.say(20)
        alert = call.alert(rule="<i>rule</i>")
        call.acknowledge(alert, MARKUP)
        browser.wait_for(".act", f"{MARKUP} looks after this · since {clock(call.now_s - 9)}")
        assert browser.text(".call h2") == f"<b>+49</b> · {MARKUP}"
        assert browser.text(".alert h3") == "<i>rule</i>"
        assert browser.run("return document.querySelectorAll('img, b, i').length") == 0


def clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


# ---- Suggestions ----


def test_an_alert_is_a_suggestion_that_somebody_takes_once_with_a_name(browser: Browser):
    with Server() as server:
        follow(browser, server)
        alert = anger(server)
        browser.wait_for(".alert h3", "The customer stays angry")
        browser.click(".act button")
        browser.type(".alert input", "Kim")
        browser.press("\ue007")
        browser.wait_for(".act", "Kim looks after this · since 1:49")
        assert browser.run("return sessionStorage['callmood.by']") == "Kim"
        server.calls["a call"].clear(alert)
        browser.wait("!document.querySelector('.alert')")
        again = server.calls["a call"].alert()
        assert again != alert
        browser.wait("document.querySelector('.act button')?.checkVisibility()")
        browser.click(".act button")
        browser.wait("document.querySelector('.act').innerText.startsWith('Kim looks')")


def test_a_token_that_may_not_acknowledge_says_so_quietly(browser: Browser):
    tokens = Tokens.temporary("callmood")
    with Server(tokens) as server:
        browser.open(server.page + "?agent=4711")
        browser.enter_token(tokens.make(["agent:4711"], 1))
        browser.wait_for("#connection", "Live")
        anger(server)
        browser.run("sessionStorage['callmood.by'] = 'Kim'")
        browser.wait("document.querySelector('.act button')")
        browser.click(".act button")
        browser.wait_for(".alert > p:last-of-type", "That was not possible: the token lacks the scope acknowledge")


# ---- Tokens ----


def test_a_token_typed_into_the_form_connects_and_stays_in_this_tab(browser: Browser):
    tokens = Tokens.temporary("callmood")
    token = tokens.make(["agent:4711", "acknowledge"], 1)
    with Server(tokens) as server:
        browser.open(server.page + "?agent=4711")
        browser.wait("document.activeElement?.id === 'token'")
        assert (browser.text("#door-title"), browser.text("#door-fault")) == ("callmood asks for a token", "")
        assert browser.run("return document.getElementById('token').type") == "password"
        assert browser.text("#door-command") == "callmood token --scope 'agent:4711' --scope acknowledge"
        browser.enter_token(f"token, for an hour: {token} ")
        browser.wait_for("#connection", "Live")
        assert not browser.shows("#door")
        stored = browser.run("return [location.href, {...localStorage}, {...sessionStorage}]")
        assert stored == [server.page + "?agent=4711", {}, {"callmood.token": token}]
        browser.open(server.page + "?agent=4711")
        browser.wait_for("#connection", "Live")
        assert not browser.shows("#door")


def test_a_token_that_does_not_do_is_refused_in_words_beside_the_field(browser: Browser):
    tokens = Tokens.temporary("callmood")
    wanted, short = "callmood asks for a token", "This token does not reach so far"
    refused = [
        ("short", wanted, "This is no token: expected three parts of letters and digits with dots between"),
        ("a.b.c", wanted, "The token has no form of a JSON Web Token."),
        (Tokens.temporary("callmood").make(["calls:*"], 1), wanted, "The token is signed with another key."),
        (tokens.make(["agent:12"], 1), short, "The token does not reach 'agent:4711'."),
    ]
    with Server(tokens) as server:
        browser.open(server.page + "?agent=4711")
        for token, title, fault in refused:
            browser.enter_token(token)
            browser.wait_for("#door-fault", fault)
            assert browser.text("#door-title") == title
            assert browser.run("return document.getElementById('token').ariaInvalid") == "true"
            assert browser.run("return sessionStorage.length") == 0
        browser.enter_token(tokens.make(["agent:4711"], 1))
        browser.wait_for("#connection", "Live")


def test_a_token_that_ends_soon_is_replaced_without_a_break(browser: Browser):
    tokens = Tokens.temporary("callmood")
    with Server(tokens) as server:
        browser.open(server.page + "?agent=4711")
        browser.enter_token(tokens.make(["agent:4711"], 0.05))
        browser.wait("document.getElementById('headline').textContent.startsWith('Your token ends at')")
        browser.click("#renew")
        browser.enter_token(Tokens.temporary("callmood").make(["agent:4711"], 1))
        browser.wait_for("#door-fault", "The token is signed with another key.")
        assert browser.text("#connection") == "Live"
        fresh = tokens.make(["agent:4711"], 2)
        browser.enter_token(fresh)
        browser.wait_for("#headline", "Agent 4711")
        assert browser.run("return [sessionStorage['callmood.token'], document.getElementById('door').hidden]") == [
            fresh,
            True,
        ]
        assert browser.text("#heard") == "The new token is accepted"
        assert server.broadcaster.counters.accepted == 1


def test_a_token_that_has_ended_is_asked_for_anew_and_the_call_goes_on_where_it_was(browser: Browser):
    tokens = Tokens.temporary("callmood")
    with Server(tokens) as server:
        browser.open(server.page + "?agent=4711")
        browser.enter_token(tokens.make(["agent:4711"], 1))
        browser.wait_for("#connection", "Live")
        call = server.call()
        call.say(8)
        browser.wait("calls.get('a call')?.strip.heard === 8")
        server.refuse_all(4401, "the token has expired: connect with a new one")
        browser.wait_for("#door-title", "Your token has ended")
        assert browser.text("#door-fault") == "The token has expired: connect with a new one."
        call.say(8)
        browser.enter_token(tokens.make(["agent:4711"], 1))
        browser.wait("calls.get('a call').strip.heard === 16")
        assert browser.run("return link.doubles") == 0


# ---- Coming back ----


def test_cuts_leave_no_double_and_no_hole(browser: Browser):
    with Server() as server, Wire(server) as wire:
        follow(browser, server, "", wire.page)
        browser.faults_expected.append(BROKEN)
        browser.run(WAITS_TO_BE_TOLD)
        call, other = server.call(), server.call("other")
        for _ in range(3):
            browser.wait("link.live")
            call.say(7)
            other.say(3)
            wire.cut()
            call.say(9)
            browser.wait("link.state === 'waiting'")
            browser.run("retryNow()")
            call.say(4)
        browser.wait("[calls.get('a call')?.strip.heard, calls.get('other')?.strip.heard].join() === '60,9'")
        assert browser.run("return [link.doubles, missed, document.getElementById('missed').textContent]") == [0, 0, ""]


def test_a_call_that_came_and_went_long_before_the_page_came_back_is_told_on_the_wall(browser: Browser):
    with Server() as server, Wire(server) as wire:
        server.call("before").say(1)
        follow(browser, server, "", wire.page)
        browser.faults_expected.append(BROKEN)
        server.call("heard").end()
        browser.wait("calls.get('heard')?.over")
        browser.run(WAITS_TO_BE_TOLD)
        for away in ("brief", "another"):
            wire.cut()
            browser.wait("link.state === 'waiting'")
            call = server.call(away)
            call.say(2)
            call.end()
            server.forget_readings()
            browser.run("retryNow()")
            browser.wait(f"calls.get('{away}')?.over && memory.begunThen === null")
        assert browser.run("return [[...calls.keys()].sort().join(), memory.begun, missed, link.doubles]") == [
            "another,before,brief,heard",
            4,
            2 * 4,
            0,
        ]
        browser.run("for (const call of memory.ended.keys()) memory.ended.set(call, 0); forgetOld()")
        assert browser.run("return [[...memory.seqs.keys()].join(), memory.ended.size]") == ["before", 0]


def test_a_connection_that_falls_silent_is_given_up_and_made_anew(browser: Browser):
    with Server(heartbeat_s=0.3) as server, Wire(server) as wire:
        follow(browser, server, page=wire.page)
        browser.faults_expected.append(BROKEN)
        call = server.call()
        call.say(6)
        browser.wait("calls.get('a call')?.strip.heard === 6")
        wire.silence()
        call.say(6)
        browser.wait_for(".mood", "Not live")
        browser.wait("calls.get('a call').strip.heard === 12")
        browser.wait_for(".mood", "Calm")


def test_a_server_that_is_started_anew_on_its_port_is_found_again_and_begins_cleanly(browser: Browser):
    port = free_port()
    browser.faults_expected.append(NO_SERVER)
    with Server(port=port) as server:
        follow(browser, server)
        server.call().say(12)
        browser.wait("calls.get('a call')?.strip.heard === 12")
    browser.wait_for(".mood", "Not live")
    assert browser.text("#headline") in ("callmood was stopped", "callmood does not answer")
    assert (browser.text("#next"), browser.shows("#retry")) == ("next try", True)
    with Server(port=port) as server:
        server.call().say(5, "anger", "angry")
        if browser.run("return link.state") == "waiting":
            browser.click("#retry")
        browser.wait("link.live")
        server.calls["a call"].say(6, "anger", "angry")
        browser.wait_for(".mood", "Angry")
        browser.wait("calls.get('a call').strip.heard === 6")
        assert browser.run("return [calls.size, link.doubles]") == [1, 0]
        assert browser.text("#missed") == "the server was started anew since: nobody knows how many"


def test_one_call_is_followed_to_its_end_and_then_left_in_peace(browser: Browser):
    with Server() as server:
        browser.open(server.page + "?call=a%20call")
        browser.wait_for("#headline", "Call a call is not on")
        call = server.call()
        browser.click("#retry")
        browser.wait_for("#connection", "Live")
        call.say(8)
        call.end("calm")
        browser.wait_for("#connection", "Call over")
        assert (browser.text(".mood"), browser.text(".label")) == ("Calm", "at the end of the call")
        assert browser.text(".clock") == "ended after 0:07"
        assert browser.run("return [link.socket, link.retryAt, document.getElementById('retry').hidden]") == [
            None,
            0,
            True,
        ]


def test_fewer_readings_may_be_asked_for_and_nonsense_is_told(browser: Browser):
    with Server() as server:
        follow(browser, server, "?agent=4711&min_interval_s=5")
        call = server.call()
        call.say(41)
        call.alert()
        browser.wait_for(".alert h3", "The customer stays angry")
        assert browser.run("return calls.get('a call').strip.heard") == 5
        browser.open(server.page + "?agent=4711&min_interval_s=99")
        why = "callmood cannot make sense of this page’s address: min_interval_s='99': expected seconds within 0..60"
        browser.wait_for("#empty strong", why)
        assert browser.text("#connection") == "Stopped"


def test_each_close_code_is_told_in_plain_words_and_waits_its_time(browser: Browser):
    codes = {
        1001: ("callmood was stopped", 1),
        1006: ("callmood does not answer", 1),
        1011: ("The connection broke off (1011: why)", 1),
        4008: ("This page read too slowly", 1),
        4429: ("Too many connections", 60),
        4503: ("callmood has no room for more", 30),
    }
    with Server() as server:
        for code, (why, wait_s) in codes.items():
            follow(browser, server)
            browser.run("closed(arguments[0], 'why')", code)
            browser.wait_for("#headline", why)
            left_s = browser.run("return (link.retryAt - Date.now()) / 1000")
            assert 0.8 * wait_s - 1 < left_s <= 1.2 * wait_s
            assert browser.text("#heard") == f"{why}. This page connects again by itself."


# ---- For everybody ----


def test_only_changes_that_matter_are_read_aloud(browser: Browser):
    with Server() as server:
        follow(browser, server)
        browser.run(
            "window.heard = []; new MutationObserver(all => heard.push(...all.flatMap(one => [...one.addedNodes])"
            ".map(node => node.data))).observe(document.getElementById('heard'), {childList: true})"
        )
        anger(server)
        call = server.calls["a call"]
        call.say(20, "anger", "angry")
        call.acknowledge(f"a call:{call._seq - 40}", "nobody asked")
        call.end()
        browser.wait_for("#heard", "The call has ended: Angry")
        assert browser.run("return heard") == [
            "A call begins",
            "Customer: Calm",
            "Customer: Angry",
            "The customer stays angry. Let them finish, say back what went wrong, then offer one next step.",
            "The call has ended: Angry",
        ]
        assert browser.run("return document.querySelectorAll('[aria-live], [role=status], [role=alert]').length") == 2


def test_everything_is_reached_by_keyboard_in_the_order_in_which_it_stands_and_shows_the_focus(browser: Browser):
    tokens = Tokens.temporary("callmood")
    with Server(tokens) as server:
        browser.open(server.page)
        browser.enter_token(tokens.make(["calls:*", "acknowledge"], 0.05))
        browser.wait_for("#connection", "Live")
        follow(browser, server, "")
        for name in ("one", "two"):
            anger(server, name)
        browser.wait("document.querySelectorAll('.act button').length === 2 && !document.getElementById('show').hidden")
        reached = []
        for _ in range(4):
            browser.press("\ue004")
            reached.append(browser.run("return document.activeElement.innerText"))
            assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert reached == ["Show", "New token", "I’ve got it", "I’ve got it"]
        browser.press("\ue007")
        browser.wait("document.activeElement.tagName === 'INPUT'")
        browser.press("\ue00c")
        assert browser.run("return document.activeElement.innerText") == "I’ve got it"


def test_whoever_wants_no_motion_gets_none(browser: Browser):
    with Server() as server:
        follow(browser, server)
        anger(server)
        browser.wait("document.querySelector('.alert')")
        style = "getComputedStyle(document.querySelector('{}')).{}"
        moving = f"[{style.format('.alert', 'animationName')}, {style.format('.now', 'transitionDuration')}]"
        assert browser.run(f"return {moving}") == ["appear", "0.6s"]
        browser.look(still=True)
        assert browser.run(f"return {moving}") == ["none", "0s"]


def test_the_smallest_window_shows_the_mood_and_the_suggestion_without_scrolling(browser: Browser):
    with Server() as server:
        browser.look(320, 240)
        follow(browser, server)
        anger(server)
        browser.wait("document.querySelector('.act button')")
        for css in (".mood", ".label", ".strip", ".alert h3", ".act button", "#connection"):
            box = browser.run("return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", css)
            assert box["top"] >= 0, css
            assert box["bottom"] <= 240, css
            assert 0 <= box["left"] < box["right"] <= 320, css
        for size in ((320, 240), (320, 900), (1200, 700)):
            browser.look(*size)
            assert browser.run("return document.documentElement.scrollWidth - innerWidth") <= 0


def test_nothing_jumps_when_a_suggestion_comes(browser: Browser):
    places = "return [...document.querySelectorAll('.now, .strip, .speakers')].map(e => e.getBoundingClientRect().top)"
    with Server() as server:
        follow(browser, server)
        call = server.call()
        call.say(20, "anger", "angry")
        browser.wait_for(".mood", "Angry")
        before = browser.run(places)
        call.alert()
        browser.wait("document.querySelector('.alert')")
        call.say(2, None, state="gap")
        browser.wait_for(".label", "Audio was lost")
        assert browser.run(places) == before


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa_and_pictures_are_taken(browser: Browser, dark: bool, tmp_path: Path):
    folder = os.environ.get("CALLMOOD_PICTURES")
    tokens = Tokens.temporary("callmood")
    theme = "dark" if dark else "light"
    browser.faults_expected.append(NO_SERVER)
    browser.look(600, 500, dark, still=True)
    pictures = {}
    with Server(tokens) as server:
        browser.open(server.page + "?agent=4711")
        browser.enter_token("short")
        browser.wait("document.getElementById('door-fault').textContent")
        pictures["token"] = browser.picture(), browser.contrasts()
        browser.enter_token(tokens.make(["agent:4711", "acknowledge"], 1))
        browser.wait_for("#connection", "Live")
        pictures["waiting"] = browser.picture(), browser.contrasts()
        call, alert = told(server)
        browser.wait("document.querySelector('.act button')")
        pictures["desktop"] = browser.picture(), browser.contrasts()
        browser.look(600, 500, dark, still=True, scale=2)
        large = browser.picture()
        browser.look(600, 500, dark, still=True)
        call.clear(alert)
        for mood in ("calm", "satisfied", "dissatisfied", "unclear"):
            call.say(8, None if mood == "unclear" else "neutral", mood)
            browser.wait("document.querySelector('.call').classList.contains(arguments[0])", mood)
            pictures[mood] = browser.picture(), browser.contrasts()
    browser.wait_for(".mood", "Not live")
    pictures["cut"] = browser.picture(), browser.contrasts()
    for name, (png, contrasts) in pictures.items():
        assert contrasts[0][0] >= 4.5, (name, contrasts[0])
        count, brightness = colours(png)
        assert count > 30, name
        assert (brightness < 0.35) == dark, name
        (tmp_path / f"{name}.png").write_bytes(png)
    if folder:
        write(large, Path(folder) / f"desktop_{theme}.png")


def told(server: Server) -> tuple[Call, str]:
    """A call with a bit of everything, angry in the end, and its alert."""
    call = server.call("call 4711")
    call.say(8, None, "unclear", state="silence", agent_share=0.9)
    for _ in range(5):
        call.say(20)
        call.say(6, None, state="silence", agent_share=0.8)
        call.say(4, None, confidence=0.34)
    call.say(24, "sad", "dissatisfied")
    call.say(9, None, "dissatisfied", state="silence", agent_share=0.9)
    call.say(6, None, "dissatisfied", state="gap")
    call.say(48, "anger", "angry", confidence=0.81)
    alert = call.alert()
    call.say(4, "anger", "angry", confidence=0.81)
    return call, alert
