import numpy as np
import pytest

from monitor.concealment import PAST_S, conceal


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("pitch_hz", [80, 125, 190])
def test_a_voice_goes_on_where_it_was_and_fades(pitch_hz: int, rate: int) -> None:
    time_s = np.arange(round(0.5 * rate)) / rate
    voice = sum(np.sin(2 * np.pi * pitch_hz * k * time_s) / k for k in range(1, 6)).astype(np.float32)
    at = round(0.4 * rate)
    hidden = conceal(voice[at - round(PAST_S * rate) : at], round(0.06 * rate), rate)
    first = round(0.01 * rate)
    assert np.corrcoef(hidden[:first], voice[at : at + first])[0, 1] > 0.95
    power = [float(np.square(part).mean()) for part in np.array_split(hidden, 3)]
    assert power[0] > power[1] > power[2]
    assert abs(hidden[-1]) < 0.05
    assert hidden.dtype == np.float32


def test_without_a_past_there_is_silence() -> None:
    assert not conceal(np.ones(10, np.float32), 160, 8_000).any()
    assert not conceal(np.zeros(400, np.float32), 160, 8_000).any()
