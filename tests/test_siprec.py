"""The recording server, its clients being tests over real sockets."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from monitor.errors import ProtocolError, ServiceError, SettingError
from monitor.settings import Settings, SiprecSettings
from monitor.sources import CallNames
from monitor.sources.rtp import RtpReceiver
from monitor.sources.sip import Request
from monitor.sources.siprec import SiprecServer
from tests.sip_client import House, client, house, loudest_hz, ports, tone
from tests.sip_texts import METADATA, SDP, both, crlf, request

BOTH = pytest.mark.parametrize("transport", ["UDP", "TCP"])
LONE = SDP[: SDP.index("m=audio 46002")]
PLAIN = "application/sdp"
HELD = SDP.replace("sendonly", "inactive")
SWAPPED = METADATA.replace("<send>s1</send><recv>s2</recv>", "<send>s2</send>").replace(
    '"p2"><send>s2</send>', '"p2"><send>s1</send>'
)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A decorator's worth: tests are written as coroutines."""
    asyncio.run(scenario())


@BOTH
def test_a_recorded_call_from_its_beginning_to_its_end(transport: str) -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port, transport) as caller:
            media = await caller.invite()
            assert [(one.kind, one.label, one.direction, list(one.codecs())) for one in media] == [
                ("audio", "96", "recvonly", [0, 101]),
                ("audio", "97", "recvonly", [8, 0]),
            ]
            agent, customer = ports(media)
            await caller.play({agent: tone(440), customer: tone(1_000)}, 0.6)
            await home.until(lambda: home.heard("agent").size > 3_200 and home.heard("customer").size > 3_200)
            assert (await caller.ask("BYE")).status == 200
            (opened,) = home.opened
            assert (opened.call, opened.source, opened.parties) == (
                "hVpd7YQgRW2nD22h7q60JQ==",
                "siprec",
                {"agent": 0, "customer": 1},
            )
            assert (opened.agent, opened.in_step) == ("alice", False)
            assert opened.identities == {"agent": "sip:alice@agents.example.com", "customer": "tel:+15551234567"}
            assert round(loudest_hz(home.heard("agent")), -1) == 440
            assert round(loudest_hz(home.heard("customer")), -1) == 1_000
            assert [(one.call, one.reason, one.fault) for one in home.closed] == [(opened.call, "end", None)]
            assert home.server.calls == 0

    run(scenario)


def test_the_acceptance_has_all_that_a_client_needs() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port, "TCP") as caller:
            route = "Record-Route: <sip:127.0.0.1;lr>, <sip:127.0.0.2;lr>"
            await caller.send(caller.text("INVITE", both(), route, "Require: siprec"))
            trying, accepted = await caller.receive(), await caller.receive()
            assert (trying.status, accepted.status) == (100, 200)
            headers = accepted.headers
            assert headers.first("contact") == f"<sip:127.0.0.1:{home.server.port};transport=tcp>;+sip.srs"
            assert headers.every("record-route") == ["<sip:127.0.0.1;lr>", "<sip:127.0.0.2;lr>"]
            assert headers.every("allow") == ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE"]
            assert headers.every("supported") == ["siprec", "timer"]
            assert headers.first("content-type") == "application/sdp"

    run(scenario)


@pytest.mark.parametrize(("public_host", "named"), [("", "127.0.0.1"), ("192.0.2.9", "192.0.2.9")])
def test_where_all_addresses_are_listened_on_the_answer_names_the_one_that_was_reached(
    public_host: str, named: str
) -> None:
    async def scenario() -> None:
        everywhere = {"host": "0.0.0.0", "allow": ("127.0.0.0/8",)}
        async with (
            house(rtp=everywhere, public_host=public_host, **everywhere) as home,
            client(home.server.port) as caller,
        ):
            answer = await caller.ask("INVITE", both())
            assert answer.headers.first("contact") == f"<sip:{named}:{home.server.port}>;+sip.srs"
            assert f"c=IN IP4 {named}\r\n".encode() in answer.body

    run(scenario)


@pytest.mark.parametrize(
    ("rules", "party", "identity"),
    [({}, "mixed", "sip:src@127.0.0.1"), ({"customer": ("sip:src@*",)}, "customer", "sip:src@127.0.0.1")],
)
def test_a_plain_call_is_its_callers_by_a_rule_and_else_nobodys(
    rules: dict[str, Any], party: str, identity: str
) -> None:
    async def scenario() -> None:
        async with house(**rules) as home, client(home.server.port) as caller:
            body = crlf(LONE.replace("a=label:96\n", "").replace("sendonly", "sendrecv"))
            text = caller.text("INVITE", body, kind=PLAIN).replace(b";+sip.src", b"")
            await caller.send(text)
            answer = await caller.final()
            assert b"a=recvonly" in answer.body
            assert b"a=label" not in answer.body
            (opened,) = home.opened
            assert (opened.call, opened.source) == ("call-1@client", "sip")
            assert (opened.parties, opened.identities) == ({party: 0}, {party: identity})

    run(scenario)


def test_an_answer_is_sent_until_it_is_acknowledged_and_an_invite_that_comes_again_opens_nothing() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            invite = caller.text("INVITE", both())
            await caller.send(invite)
            first = await caller.final()
            await caller.send(invite)
            assert await caller.final() == first
            home.clock.forward(0.5)
            assert await caller.final() == first
            tag = first.headers.first("to").partition("tag=")[2]
            await caller.send(caller.text("ACK", to_tag=tag))
            await asyncio.sleep(0.05)
            home.clock.forward(5.0)
            await caller.silence()
            assert len(home.opened) == 1

    run(scenario)


def test_a_call_that_is_never_acknowledged_ends_with_the_reason() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            await caller.ask("INVITE", both())
            home.clock.forward(33.0)
            await home.until(lambda: home.closed)
            (closed,) = home.closed
            assert closed.reason == "error: the client did not acknowledge our answer (no ACK within 32 s)"
            assert isinstance(closed.fault, ProtocolError)
            while not isinstance(bye := await caller.receive(), Request):
                pass
            assert (bye.method, bye.uri) == ("BYE", f"sip:src@127.0.0.1:{caller.port}")

    run(scenario)


def test_a_name_that_is_no_text_can_still_be_sent_on() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            text = caller.text("INVITE", crlf(LONE), kind=PLAIN).replace(b";+sip.src", b"")
            await caller.send(text.replace(b"From: <sip:src@", b"From: <sip:\xff\xfe@").replace(b"call-1", b"\xff"))
            assert (await caller.final()).status == 200
            (opened,) = home.opened
            assert (opened.call, opened.identities) == ("\\udcff@client", {"mixed": "sip:\ufffd\ufffd@127.0.0.1"})

    run(scenario)


class SlowReceiver(RtpReceiver):
    """Opens no port before it may."""

    may_open: asyncio.Event

    async def open(self, *arguments: Any, **named: Any) -> Any:
        await self.may_open.wait()
        return await super().open(*arguments, **named)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[SlowReceiver]:
    monkeypatch.setattr("monitor.sources.siprec.RtpReceiver", SlowReceiver)
    return SlowReceiver


def test_a_call_that_is_cancelled_never_was(slow: type[SlowReceiver]) -> None:
    async def scenario() -> None:
        slow.may_open = asyncio.Event()
        async with house() as home, client(home.server.port) as caller:
            await caller.send(caller.text("INVITE", both()))
            assert (await caller.receive()).status == 100
            branch = f"z9hG4bK-{caller.call}-1-INVITE"
            assert (await caller.ask("CANCEL", branch=branch)).status == 200
            refused = await caller.final()
            assert (refused.status, refused.headers.first("cseq")) == (487, "1 INVITE")
            await caller.send(caller.text("ACK", branch=branch))
            slow.may_open.set()
            await asyncio.sleep(0.05)
            assert (home.look(), home.server.calls) == ([], 0)

    run(scenario)


def test_an_offer_while_another_is_answered_has_to_wait_and_a_cancel_leaves_the_call_as_it_was(
    slow: type[SlowReceiver],
) -> None:
    async def scenario() -> None:
        slow.may_open = asyncio.Event()
        slow.may_open.set()
        async with house() as home, client(home.server.port) as caller:
            await caller.invite(both(LONE))
            slow.may_open.clear()
            await caller.send(caller.text("INVITE", both()))
            assert (await caller.receive()).status == 100
            refused = await caller.ask("UPDATE", crlf(SDP), kind=PLAIN)
            assert (refused.status, refused.headers.first("retry-after")) == (500, "1")
            assert (await caller.ask("CANCEL", cseq=2, branch=f"z9hG4bK-{caller.call}-2-INVITE")).status == 200
            assert (await caller.final()).status == 487
            assert (home.server.calls, home.closed) == (1, [])

    run(scenario)


def test_a_cancel_that_comes_too_late_changes_nothing() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            await caller.invite()
            branch = f"z9hG4bK-{caller.call}-1-INVITE"
            assert (await caller.ask("CANCEL", branch=branch, to_tag="")).status == 200
            assert (await caller.ask("CANCEL", branch="z9hG4bK-other", to_tag="")).status == 481
            assert home.server.calls == 1

    run(scenario)


@BOTH
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_call_is_held_and_resumed(transport: str, method: str) -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port, transport) as caller:
            media = await caller.invite()

            async def offer(sdp: str) -> list[tuple[int, str]]:
                answer = await caller.ask(method, crlf(sdp), kind=PLAIN)
                if method == "INVITE":
                    await caller.send(caller.text("ACK"))
                lines = answer.body.decode().splitlines()
                ports = [int(line.split()[1]) for line in lines if line.startswith("m=")]
                return list(zip(ports, [line for line in lines if line in ("a=recvonly", "a=inactive")], strict=True))

            first, second = ports(media)
            assert await offer(HELD) == [(first, "a=inactive"), (second, "a=inactive")]
            assert await offer(SDP.replace("127.0.0.1\nt=", "0.0.0.0\nt=")) == [
                (first, "a=recvonly"),
                (second, "a=recvonly"),
            ]
            await caller.play({first: tone(440)}, 0.3)
            assert loud(home) == 0
            assert await offer(SDP) == [(first, "a=recvonly"), (second, "a=recvonly")]
            await caller.play({first: tone(440)}, 0.6)
            await home.until(lambda: loud(home) > 1_600)
            assert (len(home.opened), home.closed) == (1, [])

    def loud(home: House) -> int:
        return int((abs(home.heard("agent")) > 0.1).sum())

    run(scenario)


def test_a_stream_that_joins_makes_a_mixed_call_one_of_two_parties() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            (lone,) = await caller.invite(crlf(LONE), kind=PLAIN)
            media = await caller.invite(both())
            assert media[0].port == lone.port
            assert [(one.call, one.parties, one.goes_on) for one in home.opened] == [
                ("call-1@client", {"mixed": 0}, ""),
                ("call-1@client-2", {"agent": 0, "customer": 1}, "call-1@client"),
            ]
            assert [(one.call, one.reason) for one in home.closed] == [
                ("call-1@client", "goes on as call-1@client-2: its parties changed")
            ]
            first, second = ports(media)
            await caller.play({first: tone(440), second: tone(1_000)}, 0.4)
            await home.until(lambda: home.heard("customer", "call-1@client-2").size > 1_600)
            assert round(loudest_hz(home.heard("customer", "call-1@client-2")), -1) == 1_000
            assert home.heard("mixed").size == 0

    run(scenario)


def test_metadata_that_comes_later_puts_the_parties_right() -> None:
    async def scenario() -> None:
        rules = {"agent": ("*@agents.example.com",), "customer": ("tel:*",)}
        async with house(**rules) as home, client(home.server.port) as caller:
            first, second = ports(await caller.invite(crlf(SDP), kind=PLAIN))
            kind = "application/rs-metadata+xml"
            assert (await caller.ask("UPDATE", crlf(SWAPPED), kind=kind)).status == 200
            assert [one.parties for one in home.opened] == [{"agent": 0, "customer": 1}, {"customer": 0, "agent": 1}]
            await caller.play({first: tone(440), second: tone(1_000)}, 0.4)
            await home.until(lambda: home.heard("agent", "call-1@client-2").size > 1_600)
            assert round(loudest_hz(home.heard("agent", "call-1@client-2")), -1) == 1_000
            assert round(loudest_hz(home.heard("customer", "call-1@client-2")), -1) == 440
            partial = "<recording><datamode>partial</datamode></recording>"
            assert (await caller.ask("UPDATE", crlf(partial), kind=kind)).status == 200
            assert len(home.opened) == 2

    run(scenario)


def test_a_stream_that_ends_and_one_in_its_place_stay_in_the_call() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            await caller.invite()
            moved = SDP.replace("m=audio 46002", "m=audio 0") + "m=audio 46004 RTP/AVP 0\na=label:98\na=sendonly\n"
            answer = await caller.ask("UPDATE", crlf(moved), kind=PLAIN)
            lines = [line for line in answer.body.decode().splitlines() if line.startswith("m=")]
            assert [line.split()[1] != "0" for line in lines] == [True, False, True]
            await caller.play({int(lines[2].split()[1]): tone(1_000)}, 0.4)
            await home.until(lambda: home.heard("customer").size > 1_600)
            assert (len(home.opened), home.closed) == (1, [])

    run(scenario)


def test_unknown_streams_are_refused_in_their_place() -> None:
    async def scenario() -> None:
        text = (
            SDP.replace("t=0 0\n", "t=0 0\nm=video 5000 RTP/AVP 31\na=label:1\n")
            + "m=audio 4004 RTP/AVP 0\na=label:98\n"
        )
        async with house() as home, client(home.server.port) as caller:
            answer = await caller.ask("INVITE", both(text))
            lines = [line.split() for line in answer.body.decode().splitlines() if line.startswith("m=")]
            assert [(words[0], words[1] == "0") for words in lines] == [
                ("m=video", True),
                ("m=audio", False),
                ("m=audio", False),
                ("m=audio", True),
            ]
            assert home.opened[0].parties == {"agent": 1, "customer": 2}

    run(scenario)


def changed(*changes: tuple[str, str]) -> Callable[[bytes], bytes]:
    def change(text: bytes) -> bytes:
        for before, after in changes:
            text = text.replace(before.encode(), after.encode())
        return text

    return change


SAVP = both(SDP.replace("RTP/AVP", "RTP/SAVP"))


@pytest.mark.parametrize(
    ("text", "status", "header", "says"),
    [
        (request("REGISTER"), 405, "allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE"),
        (request("INVITE", both(), "Require: siprec, 100rel"), 420, "unsupported", "100rel"),
        (request("BYE"), 481, "server", "callmood"),
        (request("INVITE", both(), to_tag="x"), 481, "server", "callmood"),
        (request("INVITE", b"hello", kind="text/plain"), 415, "accept", "application/sdp"),
        (request("INVITE"), 488, "warning", '399 callmood "INVITE without an SDP offer'),
        (request("INVITE", SAVP), 488, "warning", "switch SRTP off for the recording"),
        (request("INVITE", both("v=0\n")), 400, "warning", "SDP without an m-line"),
        (request("INVITE", both(metadata="<recording>")), 400, "warning", "recording metadata cannot be read"),
        (request("INVITE", both(), "Session-Expires: 60", "Supported: timer"), 422, "min-se", "90"),
        (request("INVITE", both()).replace(b"CSeq: 1 INVITE", b"CSeq: one INVITE"), 400, "server", "callmood"),
        (request("OPTIONS"), 200, "accept", "application/rs-metadata+xml"),
    ],
)
@BOTH
def test_every_request_gets_the_answer_that_is_due(
    text: bytes, status: int, header: str, says: str, transport: str
) -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port, transport) as caller:
            await caller.send(text.replace(b"branch=", b"rport;branch="))
            answer = await caller.final()
            assert answer.status == status
            assert says in answer.headers.first(header)
            assert ";tag=" in answer.headers.first("to")
            assert (home.look(), home.server.calls) == ([], 0)

    run(scenario)


def test_a_request_that_is_older_than_the_last_is_refused() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            await caller.invite()
            assert (await caller.ask("OPTIONS")).status == 200
            assert (await caller.ask("OPTIONS", cseq=1)).status == 500
            assert home.server.calls == 1

    run(scenario)


def test_the_same_call_on_another_way_is_refused() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            await caller.invite()
            assert (await caller.ask("INVITE", both(), to_tag="", cseq=1, branch="z9hG4bK-fork")).status == 482

    run(scenario)


def test_a_full_server_sends_clients_elsewhere() -> None:
    async def scenario() -> None:
        async with house(max_calls=1) as home, client(home.server.port) as one:
            await one.invite()
            async with client(home.server.port, call="call-2@client") as other:
                refused = await other.ask("INVITE", both())
                assert (refused.status, refused.headers.first("retry-after")) == (503, "10")
                assert "full" in refused.headers.first("warning")
                await one.ask("BYE")
                await other.invite(cseq=9)

    run(scenario)


def test_a_server_that_is_told_to_refuses_new_calls_and_not_those_that_run() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as one:
            media = await one.invite()
            home.server.refuse("late: audio waits longer than 2 s to be scored")
            async with client(home.server.port, call="call-2@client") as other:
                for method in ("INVITE", "OPTIONS"):
                    refused = await other.ask(method, both() if method == "INVITE" else b"")
                    assert (refused.status, refused.headers.first("retry-after")) == (503, "10")
                    assert "late: audio waits" in refused.headers.first("warning")
                agent, _ = ports(media)
                await one.play({agent: tone(440)}, 0.6)
                await home.until(lambda: home.heard("agent").size > 3_200)
            home.server.refuse("")
            async with client(home.server.port, call="call-3@client") as third:
                await third.invite()

    run(scenario)


def test_without_a_port_for_media_clients_are_sent_elsewhere_and_nothing_is_told() -> None:
    async def scenario() -> None:
        rtp = {"first_port": 29_990, "last_port": 29_992}
        async with house(rtp=rtp) as home, client(home.server.port) as caller:
            refused = await caller.ask("INVITE", both())
            assert (refused.status, refused.headers.first("retry-after")) == (503, "10")
            assert "no two free UDP ports" in refused.headers.first("warning")
            assert (home.look(), home.server.calls) == ([], 0)

    run(scenario)


def test_a_draining_server_refuses_new_calls_and_ends_when_the_last_is_over() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as one, client(home.server.port, call="2@c") as other:
            await one.invite()
            draining = asyncio.create_task(home.server.drain())
            await asyncio.sleep(0)
            assert (await other.ask("INVITE", both())).status == 503
            assert (await other.ask("OPTIONS")).status == 503
            assert (await one.ask("UPDATE", crlf(HELD), kind=PLAIN)).status == 200
            assert not draining.done()
            await one.ask("BYE")
            await asyncio.wait_for(draining, 5)
            assert [closed.reason for closed in home.closed] == ["end"]

    run(scenario)


def test_a_drain_has_its_limit_and_the_end_says_goodbye() -> None:
    async def scenario() -> None:
        async with house(drain_s=0.2) as home, client(home.server.port) as caller:
            await caller.invite()
            await asyncio.wait_for(home.server.drain(), 5)
            home.server.goodbye_s = 3.0
            stopping = asyncio.create_task(home.server.stop())
            bye = await caller.receive()
            assert (bye.method, bye.call_id, bye.own_tag) == ("BYE", caller.call, "client")
            branch = bye.via.branch
            await caller.send(f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch={branch}\r\n\r\n".encode())
            await asyncio.wait_for(stopping, 2.9)
            assert [closed.reason for closed in home.closed] == ["stopped"]

    run(scenario)


def test_a_session_timer_is_kept_for_the_client() -> None:
    async def scenario() -> None:
        async with house(idle_s=3_000.0) as home, client(home.server.port) as caller:
            timer = ("Session-Expires: 300;refresher=uac", "Supported: timer")
            answer = await caller.ask("INVITE", both(), *timer)
            assert answer.headers.first("session-expires") == "300;refresher=uac"
            assert answer.headers.every("require") == ["timer"]
            caller.tag = answer.headers.first("to").partition("tag=")[2]
            await caller.send(caller.text("ACK"))
            await asyncio.sleep(0.05)
            home.clock.forward(260)
            assert (await caller.ask("UPDATE", b"", *timer)).headers.first("session-expires") == "300;refresher=uac"
            home.clock.forward(260)
            await caller.silence()
            home.clock.forward(10)
            assert (await caller.receive()).method == "BYE"
            assert home.closed[0].reason.startswith("error: the client did not refresh the session")

    run(scenario)


@pytest.mark.parametrize(
    "timer", [("Session-Expires: 300;refresher=uas", "Supported: timer"), ("Session-Expires: 300",)]
)
def test_a_timer_that_we_would_have_to_keep_is_not_promised(timer: tuple[str, ...]) -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            assert (await caller.ask("INVITE", both(), *timer)).headers.first("session-expires") == ""

    run(scenario)


def test_a_call_of_which_nothing_comes_ends_by_itself() -> None:
    async def scenario() -> None:
        async with house(idle_s=60.0, held_s=600.0) as home, client(home.server.port) as caller:
            first, _ = ports(await caller.invite())
            home.clock.forward(59)
            await caller.play({first: tone(440)}, 0.4)
            await asyncio.sleep(0.4)  # until all of it has been read
            home.clock.forward(59)
            await caller.ask("UPDATE", crlf(HELD), kind=PLAIN)
            home.clock.forward(599)
            await caller.silence()
            home.clock.forward(2)
            assert (await caller.receive()).method == "BYE"
            assert [(closed.reason, closed.fault.code) for closed in home.closed] == [
                ("error: neither audio nor signalling came for 600 s (siprec.held_s)", "protocol")
            ]

    run(scenario)


def test_an_invite_without_an_offer_within_a_call_is_answered_with_ours() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            media = await caller.invite()
            assert await caller.invite(b"") == media

    run(scenario)


def test_a_broken_offer_within_a_call_leaves_it_as_it_was() -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            first, _ = ports(await caller.invite())
            assert (await caller.ask("INVITE", SAVP)).status == 488
            assert (await caller.ask("UPDATE", b"v=0", kind=PLAIN)).status == 400
            await caller.play({first: tone(440)}, 0.3)
            await home.until(lambda: home.heard("agent").size > 800)
            assert (home.server.calls, home.closed) == (1, [])

    run(scenario)


def test_a_fault_of_ours_in_one_call_is_told_and_refused(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    async def scenario() -> None:
        async with house() as home, client(home.server.port) as caller:
            monkeypatch.setattr("monitor.sources.siprec_session.parse_body", lambda *_: 1 // 0)
            answer = await caller.ask("INVITE", both())
            assert (answer.status, "ZeroDivisionError" in answer.headers.first("warning")) == (503, True)
            assert home.server.calls == 0

    run(scenario)
    assert "an offer of 127.0.0.1 could not be answered" in caplog.text


def test_the_log_says_which_rule_decided(caplog: Any) -> None:
    async def scenario() -> None:
        async with house(customer=("tel:*",)) as home, client(home.server.port) as caller:
            await caller.invite()

    caplog.set_level("INFO", "monitor")
    run(scenario)
    assert (
        "hVpd7YQgRW2nD22h7q60JQ==: agent sip:alice@agents.example.com is m-line 1, label 96 (the party that is left); "
        "customer tel:+15551234567 is m-line 2, label 97 (customer pattern tel:*)"
    ) in caplog.text


@pytest.mark.parametrize(
    ("siprec", "error"),
    [
        ({"host": "0.0.0.0"}, "siprec.host is 0.0.0.0, open to others, but siprec.allow is empty"),
        ({"host": "localhost"}, "siprec.host must be an IP address, got 'localhost'"),
        ({"allow": ("here",)}, "siprec.allow must list IP addresses or networks, got 'here'"),
        ({"transports": ()}, "siprec.transports is empty"),
    ],
)
def test_settings_that_cannot_hold_are_refused_at_the_start(siprec: dict[str, Any], error: str) -> None:
    with pytest.raises(SettingError) as caught:
        SiprecServer(Settings(siprec=SiprecSettings(**siprec)), CallNames())
    assert str(caught.value).startswith(error)


def test_a_port_that_is_taken_is_named() -> None:
    async def scenario() -> None:
        async with house() as home:
            with pytest.raises(ServiceError, match=f"SIP cannot listen on 127.0.0.1:{home.server.port}"):
                async with house(port=home.server.port):
                    pass

    run(scenario)
