"""The receiver: sockets, ports, addresses, limits."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest

from monitor.audio import Block
from monitor.errors import SettingError, SourceError
from monitor.settings import RtpSettings
from monitor.sources import BlockQueue, CallClosed, Event, Refused
from monitor.sources.allowlist import AllowList, check_listener
from monitor.sources.codecs import PCMA, PCMU, TELEPHONE_EVENT
from monitor.sources.datagram_reader import one_by_one
from monitor.sources.latch import Flood, Latch
from monitor.sources.outbox import Outbox
from monitor.sources.rtp import RtpReceiver, RtpStream
from monitor.sources.rtp_party import PartyAudio
from tests.captures import rtp
from tests.free_ports import free_ports
from tests.rtp_streams import Sender, WaitingSocket, tones
from tests.sip_client import Clock
from tests.ungathered import UngatheredQueue

CODECS = {0: PCMU, 101: TELEPHONE_EVENT}
PACKETS = [rtp(packet) for packet in Sender().packets(tones(2.0))]
A, B, C = ("192.0.2.1", 4_000), ("192.0.2.2", 4_000), ("192.0.2.3", 4_000)


@contextmanager
def sending(address: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((address, 0))
        yield one


async def heard(stream: RtpStream, count: int) -> None:
    """Until so many datagrams have been dealt with in one way or another."""
    async with asyncio.timeout(10):
        while True:
            counters = stream.counters
            if counters.received + counters.foreign + counters.malformed + counters.flooded + counters.rtcp >= count:
                return
            await asyncio.sleep(0.01)


Receiving = Callable[..., tuple[RtpReceiver, BlockQueue]]


@pytest.fixture
def receiving() -> Iterator[Receiving]:
    """Makes receivers of the settings that it is given; they are closed at the test's end, whatever that is."""
    with ExitStack() as at_the_end:

        def receiver(
            queue: BlockQueue | None = None, now: Callable[[], float] = time.monotonic, **settings: Any
        ) -> tuple[RtpReceiver, BlockQueue]:
            queue = queue or BlockQueue(60)
            one = RtpReceiver(RtpSettings(**settings), queue, now)
            at_the_end.callback(one.close)
            return one, queue

        yield receiver


def test_a_stream_is_heard_on_an_even_port_and_its_end_is_not_lost(receiving: Receiving) -> None:
    async def main() -> list[Block]:
        receiver, queue = receiving()
        stream = await receiver.open("call", "customer", CODECS, time.monotonic())
        assert stream.port % 2 == 0
        assert stream.heard_s is None
        with sending() as one:
            for packet in PACKETS[:60]:
                one.sendto(packet, ("127.0.0.1", stream.port))
            stream.close()
        assert stream.heard_s is not None
        assert stream.counters.received == receiver.counters.received == 60
        stream.close()
        queue.put(CallClosed("call", "end"))
        return queue.take(0)[:-1]

    blocks = asyncio.run(main())
    samples = np.concatenate([block.samples for block in blocks])
    np.testing.assert_array_equal(samples[-9_600:], tones(2.0)[:9_600])


def test_reports_are_told_from_audio_on_either_port(receiving: Receiving) -> None:
    async def main() -> None:
        receiver, _ = receiving()
        stream = await receiver.open("call", "customer", CODECS, time.monotonic())
        bye = struct.pack(">BBHI", 0x81, 203, 1, 11)
        with sending() as one, sending() as other:
            other.sendto(bye, ("127.0.0.1", stream.port + 1))
            await heard(stream, 1)
            assert not stream.said_bye, "nobody has spoken yet"
            for packet in PACKETS[:20]:
                one.sendto(packet, ("127.0.0.1", stream.port))
            await heard(stream, 21)
            one.sendto(struct.pack(">BBHI", 0x80, 200, 1, 11), ("127.0.0.1", stream.port))
            other.sendto(bye, ("127.0.0.1", stream.port + 1))
            await heard(stream, 23)
        assert stream.said_bye
        assert (stream.counters.received, stream.counters.rtcp) == (20, 3)

    asyncio.run(main())


def test_a_payload_type_that_was_not_agreed_is_told_once(
    receiving: Receiving, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> int:
        receiver, _ = receiving()
        stream = await receiver.open("call", "customer", {8: PCMA}, time.monotonic())
        with sending() as one:
            for packet in PACKETS[:5]:
                one.sendto(packet, ("127.0.0.1", stream.port))
            await heard(stream, 5)
        return stream.port

    port = asyncio.run(main())
    assert caplog.messages == [
        f"RTP on port {port}: payload type 0 from 127.0.0.1 was not agreed, such packets are passed over"
    ]


def test_nonsense_and_strangers_hurt_nobody(receiving: Receiving) -> None:
    async def main() -> None:
        receiver, queue = receiving(packets_per_s=150)
        opened_s = time.monotonic()
        good = await receiver.open("good", "customer", CODECS, opened_s)
        bad = await receiver.open("bad", "customer", CODECS, opened_s)
        with sending() as one, sending("127.0.0.2") as stranger:
            for number, packet in enumerate(PACKETS):
                one.sendto(packet, ("127.0.0.1", good.port))
                stranger.sendto(packet, ("127.0.0.1", good.port)) if number % 5 == 4 else None
                for junk in (b"", b"\x80", bytes(2_000), b"\xff" * 172, packet[:12]):
                    stranger.sendto(junk, ("127.0.0.1", bad.port))
            await heard(good, 120)
            await heard(bad, 300)
        good.close()
        bad.close()
        assert (good.counters.received, good.counters.foreign, good.counters.lost) == (100, 20, 0)
        assert bad.counters.flooded > 100
        assert bad.counters.malformed > 20
        samples = np.concatenate([event.samples for event in queue.take(0) if event.call == "good"])
        np.testing.assert_array_equal(samples[-16_000:], tones(2.0))

    asyncio.run(main())


def test_a_fault_of_ours_in_one_stream_ends_that_one_and_is_told(
    receiving: Receiving, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    async def main() -> None:
        receiver, queue = receiving()
        broken = await receiver.open("call", "agent", CODECS, time.monotonic())
        whole = await receiver.open("call", "customer", CODECS, time.monotonic())
        monkeypatch.setattr(broken, "receive", lambda *_: 1 / 0)
        with sending() as one:
            one.sendto(PACKETS[0], ("127.0.0.1", broken.port))
            one.sendto(PACKETS[0], ("127.0.0.1", whole.port))
            await heard(whole, 1)
        assert receiver.streams == {whole}
        (refused,) = [event for event in queue.take(0) if isinstance(event, Refused)]
        assert "failed: ZeroDivisionError" in str(refused.error)
        broken.close()

    asyncio.run(main())
    assert "failed" in caplog.text


def test_a_stream_may_be_assigned_to_another_party(receiving: Receiving) -> None:
    async def main() -> list[Block]:
        receiver, queue = receiving()
        stream = await receiver.open("call", "agent", CODECS, time.monotonic())
        with sending() as one:
            for packet in PACKETS[:50]:
                one.sendto(packet, ("127.0.0.1", stream.port))
            await heard(stream, 50)
            stream.assign("call-2", "customer", time.monotonic())
            for packet in PACKETS[50:]:
                one.sendto(packet, ("127.0.0.1", stream.port))
            await heard(stream, 100)
        stream.close()
        return queue.take(0)

    blocks = asyncio.run(main())
    assert {(block.call, block.party) for block in blocks} == {("call", "agent"), ("call-2", "customer")}


def test_a_pause_is_told_to_its_end_before_a_stream_is_another_calls(receiving: Receiving) -> None:
    async def main() -> list[Event]:
        moments_s = [100.0]
        receiver, queue = receiving(UngatheredQueue(60), lambda: moments_s[-1])
        stream = await receiver.open("call", "agent", CODECS, 100.0)
        stream.hold()
        moments_s.append(110.0)
        stream.assign("call-2", "customer", 110.0)
        return queue.take(0)

    blocks = [event for event in asyncio.run(main()) if isinstance(event, Block)]
    assert {block.call for block in blocks} == {"call"}
    assert sum(block.size for block in blocks) == 80_000


@pytest.mark.parametrize("polled", [False, True])
def test_a_call_that_ended_while_the_machine_slept_does_not_go_on_until_it_woke(
    receiving: Receiving, polled: bool
) -> None:
    """Whether its sockets or its signalling are looked at first then."""

    async def main() -> list[Block]:
        clock = Clock()
        receiver, queue = receiving(now=clock)
        stream = await receiver.open("call", "customer", CODECS, clock())
        with sending() as one:
            for number, packet in enumerate(PACKETS[:50]):
                one.sendto(packet, ("127.0.0.1", stream.port))
                if number == 24:
                    await asyncio.sleep(0.5)
            clock.forward(10.0)
            if polled:
                await asyncio.sleep(0.05)
            stream.close()
        queue.put(CallClosed("call", "end"))
        return [event for event in queue.take(0) if isinstance(event, Block)]

    blocks = asyncio.run(main())
    assert max(block.start + block.samples.size for block in blocks) < 16_000


def test_what_waits_for_seconds_is_read_when_a_stream_closes(receiving: Receiving) -> None:
    async def main() -> int:
        receiver, _ = receiving()
        stream = await receiver.open("call", "customer", CODECS, time.monotonic())
        with sending() as one:
            for packet in PACKETS[:90]:
                one.sendto(packet, ("127.0.0.1", stream.port))
        stream.close()
        return stream.counters.received

    assert asyncio.run(main()) == 90


def test_a_port_that_somebody_still_sends_to_is_passed_over(
    receiving: Receiving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        first = free_ports(4)
        receiver, _ = receiving(first_port=first, last_port=first + 3)
        # The range is gone through in an order of chance, round and round: the port of the first stream comes again first.
        (sent_to, other) = [await receiver.open("call", "customer", CODECS, 0.0) for _ in range(2)]
        sent_to.close()
        other.close()

        async def stray() -> None:
            while True:
                one.sendto(PACKETS[0], ("127.0.0.1", sent_to.port))
                await asyncio.sleep(0.02)

        with sending() as one:
            task = asyncio.create_task(stray())
            assert (await receiver.open("call", "customer", CODECS, 0.0)).port == other.port
            said = f"RTP comes to port {sent_to.port}, which no call has: another is looked for"
            assert caplog.messages == [said]
            with pytest.raises(SourceError) as none_left:
                await receiver.open("call", "agent", CODECS, 0.0)
            assert str(none_left.value) == (
                f"no two free UDP ports for RTP in {first}..{first + 3} of 127.0.0.1 (Address already in use), "
                "and RTP that no call has comes to 1 more; widen rtp.first_port..last_port"
            )
            assert caplog.messages == [said, said]
            monkeypatch.setattr("monitor.sources.rtp_ports._MOST_STRAYS", 1)
            with pytest.raises(SourceError, match="RTP that no call has comes to 1 free ports, one after the other; "):
                await receiver.open("call", "agent", CODECS, 0.0)
            task.cancel()

    asyncio.run(main())


def test_a_port_that_was_sent_to_is_not_looked_at_for_each_call(
    receiving: Receiving, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        clock = Clock()
        first = free_ports(6)
        receiver, _ = receiving(now=clock, first_port=first, last_port=first + 5)
        (sent_to, *others) = [await receiver.open("call", "customer", CODECS, 0.0) for _ in range(3)]
        for stream in (sent_to, *others):
            stream.close()

        async def call() -> int:
            taking = asyncio.create_task(receiver.open("call", "customer", CODECS, 0.0))
            await asyncio.sleep(0)
            with sending() as one:
                one.sendto(PACKETS[0], ("127.0.0.1", sent_to.port))
            stream = await taking
            stream.close()
            return stream.port

        a, b = (stream.port for stream in others)
        assert [await call() for _ in range(4)] == [a, b, a, b]
        assert len(caplog.messages) == 1, "it was looked at once"
        clock.forward(61)
        assert [await call() for _ in range(2)] == [a, b]
        assert len(caplog.messages) == 2

    asyncio.run(main())


def test_ports_run_out_with_a_cure_and_come_back(receiving: Receiving) -> None:
    async def main() -> None:
        first = free_ports(4)
        receiver, _ = receiving(first_port=first, last_port=first + 3)
        streams = [await receiver.open("call", "customer", CODECS, 0.0) for _ in range(2)]
        with pytest.raises(
            SourceError, match=r"no two free UDP ports for RTP in .*; widen rtp.first_port\.\.last_port"
        ):
            await receiver.open("call", "customer", CODECS, 0.0)
        streams[0].close()
        again = await receiver.open("call", "customer", CODECS, 0.0)
        assert again.port == streams[0].port

    asyncio.run(main())


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"host": "0.0.0.0"},
            "rtp.host is 0.0.0.0, open to others, but rtp.allow is empty: name who may send, for example",
        ),
        ({"host": "example.com"}, "rtp.host must be an IP address, got 'example.com': for example 127.0.0.1"),
        (
            {"allow": ("localhost",)},
            "rtp.allow must list IP addresses or networks, got 'localhost': for example 192.0.2",
        ),
        ({"first_port": 20_001, "last_port": 20_002}, "must hold an even port and the next, got 20001..20002"),
    ],
)
def test_settings_that_cannot_hold_are_refused(receiving: Receiving, changed: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingError) as caught:
        receiving(**changed)
    assert text in str(caught.value)


def test_who_may_send_is_told_by_networks() -> None:
    allow = AllowList(["192.0.2.0/24", "2001:db8::1"])
    hosts = ["192.0.2.77", "::ffff:192.0.2.1", "2001:db8::1", "192.0.3.1", "2001:db8::2", "nonsense"]
    assert [allow.admits(host) for host in hosts] == [True, True, True, False, False, False]
    assert AllowList([]).admits("203.0.113.9")
    check_listener("rtp", "127.0.0.1", ())
    check_listener("rtp", "0.0.0.0", ("192.0.2.0/24",))


def latch(*named: str, allow: tuple[str, ...] = ()) -> Latch:
    return Latch(RtpSettings(relatch_s=2.0), AllowList(allow), named)


def test_a_stream_follows_the_first_source_and_another_only_after_silence() -> None:
    one = latch()
    assert [one.admits(A, 0.0), one.admits(B, 1.9), one.admits(A, 1.9), one.admits(B, 3.8)] == [
        True,
        False,
        True,
        False,
    ]
    assert one.admits(B, 3.9)
    assert one.address == B
    assert not one.admits(A, 4.0)


def test_a_source_that_signalling_named_takes_over_from_one_that_it_did_not() -> None:
    one = latch("192.0.2.2", "192.0.2.3")
    assert one.admits(A, 0.0)
    assert one.admits(B, 0.1)
    assert [one.admits(C, 0.2), one.admits(A, 0.2)] == [False, False]


def test_nobody_off_the_list_is_followed() -> None:
    one = latch(allow=("192.0.2.2",))
    assert [one.admits(A, 0.0), one.admits(B, 0.1)] == [False, True]


def test_more_than_so_much_a_second_is_too_much() -> None:
    flood = Flood(RtpSettings(packets_per_s=50, bytes_per_s=8_000))
    assert [flood.takes(160, 0.0) for _ in range(51)] == [True] * 50 + [False]
    assert [flood.takes(5_000, 1.0), flood.takes(5_000, 1.5), flood.takes(5_000, 2.0)] == [True, False, True]


def test_a_long_pause_goes_into_the_queue_little_by_little() -> None:
    queue = BlockQueue(60)
    outbox = Outbox(queue)
    for number in range(10):
        outbox.put(Block("call", "customer", 2_000 * number, 8_000, np.zeros(2_000, np.float32), 0.0))
    assert [block.start // 2_000 for block in queue.take(0)] == [0, 1, 2, 3]
    outbox.refresh()
    assert [block.start // 2_000 for block in queue.take(0)] == [4, 5, 6, 7]
    outbox.empty()
    assert [block.start // 2_000 for block in queue.take(0)] == [8, 9]


# When a stream is looked at: without a network


class Home:
    """A receiver, and one stream whose packets wait until it is looked at."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.queue = BlockQueue(60)
        settings, outbox = RtpSettings(), Outbox(self.queue)
        receiver = RtpReceiver(settings, self.queue, lambda: self.now_s, one_by_one)
        self.audio = PartyAudio("call", "customer", CODECS, 0.0, settings.jitter_s, outbox.put)
        self.sockets: Any = (WaitingSocket(), WaitingSocket())
        latch = Latch(settings, AllowList(settings.allow, "rtp.allow"), ())
        self.receiver, self.stream = receiver, RtpStream(receiver, self.sockets, self.audio, outbox, latch)

    def look(self, now_s: float, packets: Sequence[bytes]) -> float:
        """After `packets` have come; how long nothing is due then, in seconds."""
        self.now_s = now_s
        self.bring(packets)
        self.receiver.read(self.stream)
        self.stream.pass_time(now_s)
        return round(self.stream.due_s - now_s, 6)

    def bring(self, packets: Sequence[bytes]) -> None:
        self.sockets[0].datagrams.extend((packet, ("127.0.0.1", 4_000)) for packet in packets)


def talking() -> Home:
    """After the first 0.4 s."""
    home = Home()
    for number in range(20):
        home.look(0.02 * (number + 1), PACKETS[number : number + 1])
    return home


def test_a_stream_is_looked_at_when_its_next_block_should_be_complete() -> None:
    home = Home()
    for number in range(9):
        assert home.look(0.02 * number, PACKETS[number : number + 1]) == 0, "the beginning is not over yet"
    home = talking()
    assert home.look(0.44, PACKETS[20:22]) == pytest.approx(0.06)
    assert home.look(0.52, PACKETS[22:26]) == pytest.approx(0.23)
    assert home.look(0.76, PACKETS[26:38]) == pytest.approx(0.24)
    assert home.look(1.04, []) < 0, "it fell silent: what comes next is wanted at once"


def test_a_stream_that_misses_something_is_looked_at_all_the_time() -> None:
    home = talking()
    assert home.look(0.44, PACKETS[21:22]) == 0, "one packet is missing"
    assert home.look(0.48, PACKETS[20:21] + PACKETS[22:24]) > 0
    home.stream.hold()
    assert home.look(0.52, PACKETS[24:26]) == 0


def test_a_stream_with_too_much_to_read_at_once_is_read_on() -> None:
    home = talking()
    assert home.look(0.44, PACKETS[20:22] + [b"nonsense"] * 100) < 0
    assert len(home.sockets[0].datagrams) == 38
    assert home.look(0.48, []) > 0


def test_what_waited_in_the_socket_came_at_its_pace() -> None:
    home = talking()
    home.look(0.52, PACKETS[20:26])
    home.look(0.76, PACKETS[27:38])  # one was lost 0.2 s ago
    home.queue.take(0)
    home.look(0.80, [])
    assert home.queue.take(0), "it is given up 0.2 s after the next came, not 0.2 s after that was read"


def test_what_came_before_a_call_was_held_is_heard() -> None:
    home = talking()
    home.bring(PACKETS[20:30])
    home.stream.hold()
    home.look(1.0, PACKETS[30:40])
    home.queue.put(CallClosed("call", "end"))
    samples = np.concatenate([block.samples for block in home.queue.take(0)[:-1]])
    np.testing.assert_array_equal(samples[: 30 * 160], tones(2.0)[: 30 * 160])
    assert not samples[30 * 160 :].any()


def test_a_flood_of_plain_packets_is_counted_like_any() -> None:
    home = talking()
    for number in range(20, 84):
        home.look(0.41, PACKETS[number : number + 1] * 10)
    counters = home.stream.counters
    assert counters.received + counters.flooded == 20 + 640
    assert counters.received == 500


def test_many_packets_are_within_the_limits_or_none_counts() -> None:
    flood = Flood(RtpSettings(packets_per_s=50, bytes_per_s=8_000))
    assert [flood.takes_all(30, 100, 0.0), flood.takes_all(30, 100, 0.0), flood.takes_all(20, 7_900, 0.5)] == [
        True,
        False,
        True,
    ]
    assert [flood.takes_all(1, 0, 0.9), flood.takes_all(1, 8_001, 1.0), flood.takes_all(50, 8_000, 1.0)] == [
        False,
        False,
        True,
    ]
