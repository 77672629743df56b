"""What is printed where there is no terminal: one line a message, and a summary a call. Words only, no colour. Pure."""

from collections.abc import Mapping, Sequence

from monitor import messages
from monitor.dashboard.looks import TONES, clock, plain, words
from monitor.messages import AlertAcknowledged, AlertCleared, AlertRaised, CallEnded, CallStarted, Gap, Reading
from monitor.snapshot import tone

_LEAST_SHARE = 0.005
"""Shares under this would print as 0 %."""


def line(message: messages.AnyMessage) -> str | None:
    """`message` in one line to print as it is (it is not markup); null where nothing is to be said."""
    match message:
        case Reading():
            return _reading(message)
        case CallStarted():
            return _at(0.0, message.call, f"started: {plain(message.source)}, {_parties(message)}")
        case CallEnded():
            return _at(message.duration_s, message.call, f"ended: {plain(message.reason)}; outcome {message.outcome}")
        case AlertRaised():
            return _alert(message, "ALERT", f"holds since {clock(message.start_s)}")
        case AlertCleared():
            return _alert(message, "alert cleared:", f"held since {clock(message.start_s)}")
        case AlertAcknowledged():
            return f"{plain(message.call)}  alert is looked after by {plain(message.by)}"
        case messages.Heartbeat() | messages.TokenAccepted():
            return None
        case Gap():
            lost = f"lost {message.end_s - message.start_s:.2f} s of audio: {plain(message.reason)}"
            return _at(message.end_s, message.call, f"{message.party:<9} {lost}")
        case messages.Error():
            return f"error {plain(message.code)}: {plain(message.text)}"
        case messages.Missed():
            of = f" of {plain(message.call)}" if message.call is not None else ""
            return f"missed {message.count or 'some'} messages{of}: {plain(message.reason)}"
        case messages.Hello():
            return None


def summary(ended: CallEnded, alerts: Sequence[AlertRaised] | None = None) -> str:
    """A finished call in one line, and one more for each scored party. `alerts`: those of any call; null: not told."""
    told = [plain(ended.call) + f": {ended.outcome}", clock(ended.duration_s), plain(ended.reason)]
    if alerts is not None:
        raised = (f"{words(alert.rule)} at {clock(alert.at_s)}" for alert in alerts if alert.call == ended.call)
        told.append(f"alerts: {', '.join(raised) or 'none'}")
    scored = {party: shares for party, shares in ended.shares.items() if shares.get("not_scored", 0.0) < 1.0}
    return "\n".join([", ".join(told), *(f"  {party}: {_shares(shares)}" for party, shares in scored.items())])


def _at(at_s: float, call: str, rest: str) -> str:
    return f"{clock(at_s) + f'{at_s % 1.0:.2f}'[1:]:>8}  {plain(call):<16}  {rest}".rstrip()


def _reading(reading: Reading) -> str | None:
    if reading.state == "not_scored":
        return None
    said = TONES[tone(reading.state, reading.label)].word
    confidence = f"{reading.confidence:4.0%}" if reading.confidence is not None else " " * 4
    return _at(reading.end_s, reading.call, f"{reading.party:<9} {said:<13} {confidence}  {reading.mood or ''}")


def _parties(started: CallStarted) -> str:
    parties = (f"{party} ({'scored' if info.scored else 'not scored'})" for party, info in started.parties.items())
    return ", ".join(parties)


def _alert(alert: AlertRaised | AlertCleared, what: str, since: str) -> str:
    rule = f"{what} {words(alert.rule)} ({alert.severity}), {since}"
    whose = alert.party if alert.about == "party" else alert.about
    return _at(alert.at_s, alert.call, f"{whose:<9} {rule}")


def _shares(shares: Mapping[str, float]) -> str:
    ordered = sorted(shares.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(f"{_word(name)} {share:.0%}" for name, share in ordered if share >= _LEAST_SHARE)


def _word(name: str) -> str:
    look = next((look for key, look in TONES.items() if key == name), None)
    return look.word if look else words(name)
