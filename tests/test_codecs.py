import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audio import float_to_alaw, float_to_mulaw
from monitor.sources import codecs
from monitor.sources.codecs import COMFORT_NOISE, G722, OPUS, PCMA, PCMU, Codec, find_codec, known_codecs, opus_ticks


def test_g711_payloads_become_their_samples() -> None:
    sound = np.linspace(-0.9, 0.9, 320, dtype=np.float32)
    for codec, encode in ((PCMU, float_to_mulaw), (PCMA, float_to_alaw)):
        codes = encode(sound).tobytes()
        samples, failures = codec.decoder()([codes[:100], codes[100:]])
        assert failures == 0
        np.testing.assert_allclose(samples, sound, atol=0.02)


def test_wide_codecs_are_known_only_where_they_can_be_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {G722, OPUS} <= set(known_codecs())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    codecs.known_codecs.cache_clear()
    try:
        assert {codec.name for codec in known_codecs()} == {"PCMU", "PCMA", "CN", "telephone-event"}
    finally:
        codecs.known_codecs.cache_clear()


@pytest.mark.parametrize(
    ("name", "clock_rate", "expected"),
    [
        ("pcmu", 8_000, PCMU),
        ("Opus", 48_000, OPUS),
        ("cn", 8_000, COMFORT_NOISE),
        ("PCMU", 16_000, None),
        ("G729", 8_000, None),
        ("telephone-event", 48_000, Codec("telephone-event", 48_000, 0, kind="event")),
    ],
)
def test_a_codec_is_found_as_sdp_names_it(name: str, clock_rate: int, expected: Codec | None) -> None:
    assert find_codec(name, clock_rate) == expected


@pytest.mark.parametrize(
    ("packet", "ticks"),
    [(b"\x08", 960), (b"\x18", 2_880), (b"\xf8", 960), (b"\x83\x05", 600), (b"\x0b\x3f", 0), (b"\x03", 0), (b"", 0)],
)
def test_an_opus_packet_says_how_long_it_lasts(packet: bytes, ticks: int) -> None:
    assert opus_ticks(packet) == ticks


@pytest.mark.parametrize("codec", [G722, OPUS], ids=lambda codec: codec.name)
@given(payloads=st.lists(st.binary(min_size=1, max_size=200), max_size=4))
def test_whatever_comes_decodes_to_as_many_samples_as_it_lasts(codec: Codec, payloads: list[bytes]) -> None:
    samples, _ = codec.decoder()(payloads)
    expected = sum(codec.ticks(payload) * codec.sample_rate // codec.clock_rate for payload in payloads)
    assert (samples.size, samples.dtype) == (expected, np.float32)
    assert np.isfinite(samples).all()
