"""The jitter buffer and the time line together: packets of one party in, blocks of the call out."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audio import Block, float_to_alaw, float_to_mulaw, mulaw_to_float
from monitor.sources.codecs import PCMA, PCMU, linear
from monitor.sources.datagrams import Alike, Datagrams
from monitor.sources.rtp_packet import RtpPacket
from tests.captures import rtp
from tests.rtp_streams import CODECS, Heard, Sender, delayed, tones

SOUND = tones(3.0)


def as_values(blocks: list[Block]) -> list[tuple[int, list[float]]]:
    return [(block.start, block.samples.tolist()) for block in blocks]


def assert_heard(heard: Heard, expected: np.ndarray, start: int = 0) -> None:
    np.testing.assert_array_equal(heard.samples[start : start + expected.size], expected)


def test_what_is_said_is_heard_at_its_time_across_both_wraps() -> None:
    heard = Heard().take(Sender().packets(SOUND))
    assert [block.start for block in heard.blocks] == list(range(0, 24_000, 2_000))
    assert heard.samples.size == SOUND.size
    assert_heard(heard, SOUND)
    assert heard.audio.counters.received == 150


def test_time_counts_from_the_opening_and_what_was_not_sent_at_first_is_silence() -> None:
    heard = Heard(opened_s=-0.3).take(Sender().packets(SOUND))
    assert heard.gaps == []
    assert not heard.samples[:2_400].any()
    assert_heard(heard, SOUND, start=2_400)


def test_a_stream_that_begins_late_leaves_a_gap() -> None:
    heard = Heard().take(Sender(begins_s=4.0).packets(SOUND))
    assert heard.gaps == [(0, 32_000)]
    assert_heard(heard, SOUND, start=32_000)


@pytest.mark.parametrize("sizes", [[1_460], [172, 140, 44], [240], [80], [1], [160, 0, 3]], ids=str)
def test_packet_sizes_change_nothing(sizes: list[int]) -> None:
    whole = Heard().take(Sender().packets(SOUND))
    cut = Heard().take(Sender(sizes=sizes, first_sequence=9).packets(SOUND))
    assert as_values(cut.blocks) == as_values(whole.blocks)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32), st.lists(st.integers(1, 900), min_size=1, max_size=6))
def test_neither_the_order_within_the_bound_nor_packet_sizes_nor_duplicates_change_anything(
    seed: int, sizes: list[int]
) -> None:
    random = Random(seed)
    packets = Sender(sizes=sizes, first_sequence=random.randrange(65_536)).packets(SOUND)
    late = [delayed(packet, random.choice([0.0, 0.0, 0.001, 0.05, 0.19])) for packet in packets[1:]]
    twice = [delayed(packet, 0.01) for packet in random.sample(packets, min(5, len(packets)))]
    heard = Heard().take([packets[0], *late, *twice])
    assert as_values(heard.blocks) == as_values(Heard().take(packets).blocks)
    counters = heard.audio.counters
    assert (counters.lost, counters.late, counters.duplicate) == (0, 0, len(twice))


def test_an_ordinary_bad_line_loses_nothing() -> None:
    """98 of 500 packets up to 75 ms late."""
    rng = np.random.default_rng(3)
    sound = tones(10.0)
    packets = Sender().packets(sound)
    for index in rng.choice(np.arange(1, 500), 98, replace=False):
        packets[index] = delayed(packets[index], float(rng.uniform(0, 0.075)))
    assert_heard(Heard().take(packets), sound)


def test_lost_packets_are_gaps_of_their_length_and_time_does_not_shrink() -> None:
    packets = Sender().packets(SOUND)
    heard = Heard().take(packets[:20] + packets[25:100] + packets[101:])
    assert heard.gaps == [(3_200, 4_000), (16_000, 16_160)]
    assert heard.audio.counters.lost == 6
    expected = SOUND.copy()
    expected[3_200:4_000] = expected[16_000:16_160] = 0
    assert_heard(heard, expected)


def test_a_packet_later_than_the_bound_is_lost_and_counted_as_late() -> None:
    packets = Sender().packets(SOUND)
    packets[50] = delayed(packets[50], 0.25)
    heard = Heard().take(packets)
    assert heard.gaps == [(8_000, 8_160)]
    assert (heard.audio.counters.lost, heard.audio.counters.late) == (1, 1)


def test_what_is_missing_is_not_waited_for_longer_than_the_bound() -> None:
    packets = Sender().packets(SOUND)
    heard = Heard()
    for packet in packets[:50] + packets[51:60]:
        heard.audio.push(packet)
    heard.audio.pass_time(packets[51].arrived_s + 0.19)
    assert heard.blocks[-1].start + heard.blocks[-1].samples.size == 8_000
    heard.audio.pass_time(packets[51].arrived_s + 0.2)
    heard.audio.finish(1.2)
    assert heard.gaps == [(8_000, 8_160)]


@settings(max_examples=40)
@given(st.integers(1, 900), st.integers(0, 1_900), st.booleans())
def test_what_is_sent_twice_is_heard_once_wherever_a_block_ends(twice: int, at: int, wide: bool) -> None:
    """Packets that overlap: the second begins `twice` samples before the first has ended, at 2,000 - `at`."""
    codes = float_to_mulaw(SOUND).tobytes()
    first, last = 2_000 - at + twice, 2_000 - at
    payloads = [codes[:first], codes[last:4_000], codes[4_000:]]
    timestamps = (0, last, 4_000)
    size = 2 if wide else 1
    if wide:
        payloads = [np.frombuffer(payload, np.uint8).astype("<i2").tobytes() for payload in payloads]
    codec = {0: linear(8_000, "little") if wide else PCMU}
    heard, at_once = (
        Heard(codecs=codec).take(
            RtpPacket(0, number, timestamp, 11, payload, (timestamp + len(payload) / size) / 8_000)
            for number, (timestamp, payload) in enumerate(zip(timestamps, said, strict=True))
        )
        for said in (payloads, [payloads[0][: size * last], *payloads[1:]])
    )
    assert as_values(heard.blocks) == as_values(at_once.blocks)
    assert heard.gaps == []


def test_silence_suppression_is_silence_not_lost_audio() -> None:
    """RFC 3551 section 4.1: timestamps jump while sequence numbers go on."""
    packets = Sender().packets(SOUND)
    spoken = packets[:50] + [
        packet._replace(sequence=(packet.sequence - 50) & 0xFFFF, arrived_s=packet.arrived_s)
        for packet in packets[100:]
    ]
    heard = Heard().take(spoken)
    expected = SOUND.copy()
    expected[8_000:16_000] = 0
    assert heard.gaps == []
    assert_heard(heard, expected)
    assert heard.audio.counters.lost == 0


def test_a_pause_after_comfort_noise_is_silence_while_it_lasts() -> None:
    packets = Sender().packets(SOUND)
    noise = packets[50]._replace(payload_type=13, payload=b"\x40")
    heard = Heard()
    for packet in [*packets[:50], noise]:
        heard.audio.push(packet)
    heard.audio.pass_time(1.9)
    assert heard.samples.size == 12_000, "as far as 1.9 s less what may still come late, in whole blocks"
    for packet in packets[100:]:
        heard.audio.push(packet._replace(sequence=(packet.sequence - 49) & 0xFFFF))
    heard.audio.finish(3.0)
    expected = SOUND.copy()
    expected[8_000:16_000] = 0
    assert heard.gaps == []
    assert_heard(heard, expected)


@pytest.mark.parametrize("source", [11, 99], ids=["same SSRC", "SSRC of its own"])
def test_key_presses_are_skipped_and_reset_nothing(source: int) -> None:
    """RFC 4733: events share the audio's numbers, or come with an SSRC of their own (as sipp sends them)."""
    packets = Sender().packets(SOUND)
    event = packets[60]._replace(payload_type=101, payload=b"\x05\x0a\x00\xa0", source=source)
    if source == 11:
        events = [event._replace(sequence=packets[index].sequence) for index in range(60, 70)]
        sent, expected_gap = packets[:60] + events + packets[70:], []
    else:
        events = [event._replace(sequence=4_000 + index) for index in range(10)]
        sent, expected_gap = packets + events, []
    heard = Heard().take(sent)
    expected = SOUND.copy()
    if source == 11:
        expected[9_600:11_200] = 0
    assert heard.gaps == expected_gap
    assert_heard(heard, expected)


@pytest.mark.parametrize(
    ("second", "pause_s", "gaps"),
    [
        (Sender(source=12, first_sequence=100, first_timestamp=5), 0.0, []),
        (Sender(source=12, first_sequence=100, first_timestamp=5), 0.4, []),
        (Sender(source=12, first_sequence=100, first_timestamp=5), 2.0, [(24_000, 40_000)]),
        (Sender(source=11, first_sequence=30_000, first_timestamp=5), 0.0, []),
        (Sender(source=11, first_sequence=65_500 + 150 - 65_536, first_timestamp=5), 0.0, []),
    ],
    ids=["SSRC", "SSRC, short pause", "SSRC, long pause", "numbers and timestamps", "timestamps only"],
)
def test_a_sender_that_begins_anew_is_placed_by_its_arrival(second: Sender, pause_s: float, gaps: list) -> None:
    again = replace(second, begins_s=3.0 + pause_s)
    heard = Heard().take(Sender().packets(SOUND) + again.packets(SOUND))
    assert heard.gaps == gaps
    assert_heard(heard, SOUND)
    assert_heard(heard, SOUND, start=24_000 + round(8_000 * pause_s))


def test_one_stray_packet_of_another_source_harms_nothing() -> None:
    packets = Sender().packets(SOUND)
    stray = [packets[50]._replace(source=77, sequence=5), packets[90]._replace(sequence=40_000)]
    heard = Heard().take(packets + stray)
    assert_heard(heard, SOUND)
    assert heard.gaps == []


def test_a_call_on_hold_is_silent_and_time_goes_on() -> None:
    packets = Sender().packets(SOUND)
    heard = Heard()
    for packet in packets[:50]:
        heard.audio.push(packet)
    heard.audio.hold()
    for packet in packets[50:100]:
        heard.audio.push(packet)
    heard.audio.pass_time(2.0)
    heard.audio.resume()
    for packet in packets[100:]:
        heard.audio.push(packet)
    heard.audio.finish(3.0)
    expected = SOUND.copy()
    expected[8_000:16_000] = 0
    assert heard.gaps == []
    assert_heard(heard, expected)


def test_a_sender_that_falls_silent_leaves_a_gap_until_the_calls_end() -> None:
    heard = Heard().take(Sender().packets(SOUND), ends_s=10.0)
    assert heard.blocks[-1].start == 80_000
    assert heard.blocks[-1].samples.size == 0
    assert heard.gaps == [(24_000, 80_000)]


def test_a_party_that_nobody_heard_is_a_gap_from_beginning_to_end() -> None:
    heard = Heard().take([], ends_s=5.0)
    assert [(block.start, block.samples.size, block.sample_rate) for block in heard.blocks] == [(40_000, 0, 8_000)]


def test_the_codec_may_change_in_mid_stream() -> None:
    packets = Sender().packets(SOUND)
    sound = mulaw_to_float(float_to_mulaw(SOUND))
    codes = float_to_alaw(sound[8_000:]).tobytes()
    changed = [
        packet._replace(payload_type=8, payload=codes[160 * index : 160 * index + 160])
        for index, packet in enumerate(packets[50:])
    ]
    heard = Heard().take(packets[:50] + changed)
    assert heard.gaps == []
    assert np.abs(heard.samples - SOUND).max() < 0.02


@pytest.mark.parametrize("drift", [-300e-6, 300e-6])
def test_clocks_that_differ_do_not_shift_the_calls_time(drift: float) -> None:
    """300 ppm are 0.36 s in twenty minutes."""
    packets = [
        RtpPacket(0, index & 0xFFFF, index * 160, 5, b"\xff" * 160, (index + 1) * 0.02 * (1 + drift))
        for index in range(60_000)
    ]
    heard = Heard().take(packets)
    ends_s = heard.samples.size / 8_000
    assert ends_s == pytest.approx(packets[-1].arrived_s, abs=0.06)
    assert heard.gaps == []


def test_a_pause_that_the_sender_did_not_count_is_made_up_for() -> None:
    packets = Sender().packets(tones(30.0))
    paused = packets[:500] + [delayed(packet, 5.0) for packet in packets[500:]]
    heard = Heard().take(paused)
    assert heard.samples.size / 8_000 == pytest.approx(35.0, abs=0.06)


def test_what_was_not_agreed_is_passed_over() -> None:
    packets = Sender().packets(SOUND)
    packets[50] = packets[50]._replace(payload_type=96)
    heard = Heard(codecs={0: PCMU, 8: PCMA}).take(packets)
    expected = SOUND.copy()
    expected[8_000:8_160] = 0
    assert heard.gaps == []
    assert_heard(heard, expected)


def test_a_bye_of_the_stream_itself_is_noted_until_it_speaks_again() -> None:
    heard = Heard()
    packets = Sender().packets(SOUND)
    for packet in packets[:20]:
        heard.audio.push(packet)
    heard.audio.push_rtcp(b"\x81\xcb\x00\x01\x00\x00\x00\x63")
    assert not heard.audio.said_bye
    heard.audio.push_rtcp(b"\x81\xcb\x00\x01\x00\x00\x00\x0b")
    assert heard.audio.said_bye
    heard.audio.push(packets[20])
    assert not heard.audio.said_bye


numbers = st.integers(0, 0xFFFF_FFFF)
wild_packets = st.builds(
    RtpPacket,
    st.sampled_from([0, 8, 13, 101, 96]),
    st.integers(0, 0xFFFF) | st.integers(0, 12),
    numbers | st.integers(0, 4_000),
    st.integers(1, 3),
    st.binary(max_size=300),
    st.floats(0, 30),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(wild_packets, max_size=60))
def test_whatever_comes_time_never_shrinks_nor_runs_ahead(packets: list[RtpPacket]) -> None:
    heard = Heard(codecs=CODECS).take(packets, ends_s=30.0)
    _ = heard.gaps  # looks that no block goes back
    assert all((block.start + block.samples.size) / 8_000 <= 36.1 for block in heard.blocks)


def test_audio_that_comes_faster_than_it_can_be_spoken_is_dropped() -> None:
    packets = [packet._replace(arrived_s=packet.arrived_s / 50) for packet in Sender().packets(tones(60.0))]
    heard = Heard().take(packets)
    assert heard.samples.size / 8_000 == pytest.approx(5.5, abs=1.0)
    assert heard.audio.counters.flooded > 2_000


def together_on_the_wire(packets: list[RtpPacket]) -> Alike | None:
    return Datagrams([()] * len(packets), [rtp(packet) for packet in packets]).alike


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(-3, 3)), max_size=30), st.lists(st.integers(1, 20), min_size=1)
)
def test_plain_packets_are_taken_as_if_they_had_been_parsed(wrong: list[tuple[int, int]], at_once: list[int]) -> None:
    packets = Sender().packets(SOUND)[:120]
    for place, (kind, by) in enumerate(wrong):
        number = 4 * place
        one = packets[number]
        other = packets[max(0, number + by)]
        changed = [
            one._replace(sequence=(one.sequence + by) & 0xFFFF),
            one._replace(timestamp=(one.timestamp + 160 * by) & 0xFFFFFFFF),
            one._replace(source=one.source + by),
            one._replace(payload_type=(0, 8, 13, 101, 55)[abs(by)]),
            one._replace(payload=one.payload[: max(0, 40 * by)]),
            other,
        ]
        packets[number] = changed[kind] if kind < len(changed) else one
    alone, together = Heard(), Heard()
    waiting, sizes = packets, at_once * 120
    while waiting:
        now_s = waiting[min(sizes[0], len(waiting)) - 1].arrived_s
        batch, waiting = waiting[: sizes[0]], waiting[sizes.pop(0) :]
        for packet in batch:
            alone.audio.push(packet._replace(arrived_s=now_s))
        alike = together_on_the_wire(batch)
        taken = 0 if alike is None else together.audio.push_due(alike, now_s)
        for packet in batch[taken:]:
            together.audio.push(packet._replace(arrived_s=now_s))
        for heard in (alone, together):
            heard.audio.pass_time(now_s)
    for heard in (alone, together):
        heard.audio.finish(5.0)
    assert as_values(together.blocks) == as_values(alone.blocks)
    assert [block.arrived_s for block in together.blocks] == [block.arrived_s for block in alone.blocks]
    assert together.audio.counters == alone.audio.counters


def test_only_plain_packets_are_due() -> None:
    packets = [rtp(packet) for packet in Sender().packets(SOUND)]
    heard = Heard()

    def due(*some: bytes) -> int:
        alike = Datagrams([()] * len(some), some).alike
        assert alike is not None
        return heard.audio.push_due(alike, 0.3)

    assert due(*packets) == 0, "nothing has begun"
    for packet in Sender().packets(SOUND)[:12]:
        heard.audio.push(packet)
    heard.audio.pass_time(0.3)
    marked = bytes([0x80, 0x80]) + packets[14][2:]
    assert due(packets[12], packets[13], marked, packets[15]) == 2
    assert due(packets[15]) == 0
    assert heard.audio.counters.received == 14
    heard.audio.set_codecs({8: PCMA})
    assert due(packets[14]) == 0, "no longer agreed"


def test_audio_at_another_rate_goes_on_twenty_times_a_second() -> None:
    wide = linear(16_000, "big")
    heard = Heard(codecs={0: wide})
    sender = Sender(sizes=(320,))
    for number, packet in enumerate(sender.packets(tones(2.0))):
        heard.audio.push(packet._replace(timestamp=(0xFFFF_FF00 + 160 * number) & 0xFFFFFFFF, payload=bytes(640)))
    heard.audio.finish(1.0)
    assert {block.sample_rate for block in heard.blocks} == {16_000}
    assert max(block.size for block in heard.blocks) <= 800
