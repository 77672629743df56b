"""Every setting once: its default, unit, range and help. The command line, `callmood config` and TOML files derive from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.errors import SettingError
from monitor.settings.fields import changed_values, made, override, read_toml, setting, table, toml_entries
from monitor.settings.tables import (
    AsteriskSettings,
    AudioHookSettings,
    AudioSocketSettings,
    HistorySettings,
    RtpSettings,
    SiprecSettings,
    StreamSettings,
    TwilioSettings,
    WebhookSettings,
)

__all__ = [
    "AsteriskSettings",
    "AudioHookSettings",
    "AudioSocketSettings",
    "HistorySettings",
    "RtpSettings",
    "Settings",
    "SiprecSettings",
    "StreamSettings",
    "TwilioSettings",
    "WebhookSettings",
]


@dataclass(frozen=True)
class Settings:
    """How a node listens, reads and tells. Make one with `load`, which checks types and ranges."""

    node: str = setting("callmood", "name of this node, in `hello`")
    model: str = setting("", "path of the model file; empty: the one that comes with callmood")

    window_s: float = setting(3.0, "length of a window; the model's own", "s", 3.0, 3.0)
    hop_s: float = setting(0.5, "from one reading of a party to the next, in steps of 0.25", "s", 0.25, 3.0)
    max_lost_s: float = setting(
        0.5, "a window that lost more audio than this is not scored: state `gap`", "s", 0.0, 3.0
    )
    min_speech_s: float = setting(0.5, "a window with less speech than this is not scored", "s", 0.1, 3.0)

    score_agent: bool = setting(False, "read the agent's emotion too; the law of your country may forbid it")
    score_mixed: bool = setting(False, "read the emotion of a single channel that mixes both parties")

    smooth_s: float = setting(
        2.5, "time constant over which scores are averaged into the rolling label", "s", 0.0, 30.0
    )
    mood_s: float = setting(20.0, "how much of a party's last speech its mood rests on", "s", 3.0, 120.0)
    outcome_s: float = setting(30.0, "how much of the last speech a call's outcome rests on", "s", 3.0, 300.0)

    alert_rules: str = setting(
        "", "TOML file with the rules for alerts, as `callmood alerts rules` prints one; empty: those"
    )

    host: str = setting(
        "127.0.0.1", "address that the websocket listens on; any but this machine's own needs TLS and tokens"
    )
    port: int = setting(8765, "port of the websocket; 0 takes any free one", "", 0, 65_535)
    page: bool = setting(True, "serve the agents' desktop page at /")
    backlog: int = setting(
        512, "messages kept for a slow subscriber; older readings are dropped and counted", "messages", 16, 2_048
    )
    resume: int = setting(
        256, "messages of each call kept for a subscriber that comes back after a cut", "messages", 0, 65_536
    )
    heartbeat_s: float = setting(
        10.0, "a subscriber that would hear nothing for so long gets a heartbeat", "s", 0.1, 60.0
    )
    tls_certificate: str = setting("", "PEM file with the certificate and its chain; SIGHUP reads it anew")
    tls_key: str = setting("", "PEM file with its private key, mode 0600; SIGHUP reads it anew")
    token_secret: str = setting(
        "", "file with the HS256 secret of the tokens, mode 0600; `callmood token` signs with it"
    )
    token_public_key: str = setting("", "PEM file with the RS256 or ES256 public key of an identity provider")
    token_audience: str = setting("callmood", "`aud` that every token must name")
    origins: tuple[str, ...] = setting(
        (), "pages that may connect besides those of this machine, such as https://crm.example.com"
    )
    max_connections: int = setting(2_048, "connections at once", "connections", 1, 100_000)
    max_connections_per_address: int = setting(
        256, "connections at once from one address other than this machine's own", "connections", 1, 100_000
    )
    max_connections_per_token: int = setting(64, "connections at once with one token", "connections", 1, 100_000)
    audit_log: str = setting(
        "", "file, mode 0600, that says who watched what, a JSON object a line; empty: the log, with --verbose"
    )

    scoring_processes: int = setting(
        1,
        "processes that share the calls to be scored; 1: this one; up to one a core, where one is busy all the time",
        "",
        1,
        64,
    )
    queue_s: float = setting(
        10.0, "audio that may wait for scoring, a party on average, before the oldest is dropped", "s", 1.0, 60.0
    )
    late_s: float = setting(
        2.0, "while audio waits longer than this for scoring, the node is late: see when_late", "s", 0.2, 60.0
    )
    full_at: float = setting(
        0.9,
        "share of the time that scoring may be busy before the node is full: see when_late; 1 is never",
        "",
        0.5,
        1.0,
    )
    when_late: str = setting(
        "refuse",
        "what becomes of new telephone calls while scoring is late or full: refuse them with 503, or take them unscored",
        choices=("refuse", "unscored"),
    )
    show_identities: bool = setting(
        False, "show phone numbers, names and agents' ids in messages and logs; else pseudonyms stand for them"
    )
    max_calls: int = setting(1_000, "calls at once; further ones are refused", "calls", 1, 100_000)

    rtp: RtpSettings = table(RtpSettings, "how RTP is received, of calls that come by SIP", always=True)

    history: HistorySettings = table(HistorySettings, "calls, readings and alerts on disk; no audio", always=True)

    siprec: SiprecSettings | None = table(SiprecSettings, "SIPREC recording server: recorded calls come by SIP and RTP")
    webhooks: WebhookSettings | None = table(
        WebhookSettings, "webhooks: alerts are posted to other systems by serve, live and replay --pace live"
    )

    streams: StreamSettings = table(
        StreamSettings, "the websocket listener, of calls that come by [twilio], [audiohook] or [asterisk]", always=True
    )
    twilio: TwilioSettings | None = table(
        TwilioSettings, "Twilio Media Streams, SignalWire, Telnyx, Exotel, Plivo: calls come by websocket"
    )
    audiohook: AudioHookSettings | None = table(AudioHookSettings, "Genesys Cloud AudioHook: calls come by websocket")
    asterisk: AsteriskSettings | None = table(AsteriskSettings, "Asterisk's chan_websocket: calls come by websocket")
    audiosocket: AudioSocketSettings | None = table(AudioSocketSettings, "Asterisk's AudioSocket: calls come by TCP")

    @classmethod
    def load(cls, path: Path | None = None, overrides: Iterable[str] = ()) -> "Settings":
        """Defaults, then the TOML file at `path`, then `NAME=VALUE` overrides. Raises SettingError."""
        values = read_toml(path) if path else {}
        for given in overrides:
            name, equals, text = given.partition("=")
            if not equals:
                raise SettingError(f"--set takes NAME=VALUE, got {given!r}: for example --set hop_s=1.0")
            override(cls, values, name.strip(), text.strip())
        settings: Settings = made(cls, values)
        return settings

    def to_toml(self) -> str:
        """Every setting with its help, unit and range, as TOML that `load` reads back to an equal value."""
        return "\n".join(toml_entries(self))

    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults, by name."""
        return dict(changed_values(self))
