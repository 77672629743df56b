"""Every setting once: its default, unit, range and help. The command line, `callmood config` and TOML files derive from it.

A field is a value (text, number, true or false, a list of texts) or a table of fields, written `[name]` in TOML and
`name.field` on the command line. A table whose default is None switches something on by standing there.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.errors import SettingError


def _setting(
    default: Any,
    help: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    return dataclasses.field(
        default=default, metadata={"help": help, "unit": unit, "low": low, "high": high, "choices": choices}
    )


def _table(kind: type, help: str, always: bool = False) -> Any:
    """A table of settings that is off until it is named; with `always` it switches nothing and has its defaults."""
    return dataclasses.field(default=kind() if always else None, metadata={"help": help, "table": kind})


@dataclass(frozen=True)
class RtpSettings:
    """How RTP is received, for every source whose calls come as RTP."""

    host: str = _setting("127.0.0.1", "address that RTP comes to; one that others can reach needs `allow`")
    public_host: str = _setting("", "address that answers name for RTP, behind a NAT; empty: host")
    allow: tuple[str, ...] = _setting((), "addresses or networks that may send RTP; empty: all, on loopback only")
    first_port: int = _setting(20_000, "first port for RTP; a party takes two, RTCP on the odd one", "", 1_024, 65_534)
    last_port: int = _setting(23_999, "last port for RTP", "", 1_025, 65_535)
    jitter_s: float = _setting(0.2, "how long a missing packet is waited for, before it is lost", "s", 0.02, 2.0)
    relatch_s: float = _setting(2.0, "silence after which a stream may come from another address", "s", 0.2, 60.0)
    packets_per_s: int = _setting(500, "packets taken a stream; more are dropped and counted", "packets/s", 50, 10_000)
    bytes_per_s: int = _setting(
        100_000, "bytes taken a stream; more are dropped and counted", "bytes/s", 8_000, 10_000_000
    )


@dataclass(frozen=True)
class SiprecSettings:
    """The SIPREC recording server. Addresses other than this machine's own need an allow-list."""

    host: str = _setting("127.0.0.1", "address that SIP listens on; another than this machine's own needs `allow`")
    port: int = _setting(5060, "port of SIP, the same for UDP and TCP; 0 takes any free one", "", 0, 65_535)
    transports: tuple[str, ...] = _setting(("udp", "tcp"), "what SIP listens on", choices=("udp", "tcp"))
    allow: tuple[str, ...] = _setting(
        (), "addresses and networks of the recording clients, such as 192.0.2.7 or 192.0.2.0/24; others get no answer"
    )
    public_host: str = _setting("", "address that clients are told to send to; empty: the one that they reached")

    agent: tuple[str, ...] = _setting(
        (), "who is an agent: patterns of addresses and names, such as sip:*@agents.example"
    )
    customer: tuple[str, ...] = _setting(
        (), "who is a customer: patterns likewise, such as tel:*; agents are told first"
    )
    label_order: str = _setting(
        "agent,customer",
        "who has the lower stream label where no pattern says",
        choices=("agent,customer", "customer,agent"),
    )

    max_calls: int = _setting(
        200, "calls at once; further ones get 503, so that the client fails over", "calls", 1, 10_000
    )
    max_connections: int = _setting(256, "TCP connections at once", "", 1, 10_000)
    message_bytes: int = _setting(65_535, "longest SIP message", "bytes", 4_096, 1_048_576)
    metadata_bytes: int = _setting(32_768, "longest recording metadata", "bytes", 1_024, 1_048_576)
    peer_messages: int = _setting(
        500, "SIP messages a second from one address; more wait or are dropped", "", 10, 100_000
    )
    message_s: float = _setting(10.0, "within so long a message that began must have come whole (TCP)", "s", 1.0, 60.0)
    idle_s: float = _setting(60.0, "a call without media and signalling for so long ends by itself", "s", 2.0, 3_600.0)
    held_s: float = _setting(3_600.0, "the same for a call on hold", "s", 2.0, 86_400.0)
    drain_s: float = _setting(60.0, "how long running calls may go on after SIGTERM", "s", 0.0, 3_600.0)


@dataclass(frozen=True)
class HistorySettings:
    """What is kept of calls on disk, where, and for how long."""

    file: str = _setting(
        "", "the history; empty: history.db in $XDG_STATE_HOME/callmood, else in ~/.local/state/callmood"
    )
    keep: bool = _setting(
        True, "keep a history of the calls of `serve` and `live`; of `demo` and `replay` only where `file` is set"
    )
    days: int = _setting(30, "an ended call is deleted after so long", "days", 1, 36_500)


@dataclass(frozen=True)
class WebhookSettings:
    """Where alerts are posted. `docs/webhooks.md` is its manual."""

    urls: tuple[str, ...] = _setting(
        (), "addresses that alerts are posted to: https://, or http:// of this machine's own addresses"
    )
    secret_files: tuple[str, ...] = _setting(
        (),
        "files, mode 0600, with the secret that signs for each of urls, in their order, or one for all; empty: the "
        "environment's CALLMOOD_WEBHOOK_SECRET; SIGHUP reads them anew",
    )
    events: tuple[str, ...] = _setting(
        ("raised", "cleared", "acknowledged", "call_ended"),
        "what is posted of an alert; call_ended: its call ended while it was open",
        choices=("raised", "cleared", "acknowledged", "call_ended"),
    )
    severities: tuple[str, ...] = _setting(
        ("critical", "warning", "info"), "severities of alerts that are posted", choices=("critical", "warning", "info")
    )
    rules: tuple[str, ...] = _setting((), "rules whose alerts are posted, such as sustained_anger; empty: all")
    ca_file: str = _setting("", "PEM file with the authority of the receivers' certificates; empty: the system's")
    timeout_s: float = _setting(15.0, "within so long an answer must have come whole", "s", 0.1, 60.0)
    retries: int = _setting(12, "tries after the first, before a delivery is given up", "", 0, 1_000)
    first_wait_s: float = _setting(
        1.0, "wait before the first retry; each further one is twice as long", "s", 0.01, 600.0
    )
    longest_wait_s: float = _setting(600.0, "wait between two tries at most", "s", 0.01, 86_400.0)
    queue: str = _setting(
        "", "file, mode 0600, in which deliveries wait; empty: webhooks.db in callmood's state folder"
    )
    max_waiting: int = _setting(
        10_000, "deliveries that wait for one address; past it the oldest is given up", "deliveries", 10, 1_000_000
    )
    days: int = _setting(30, "how long what was given up, or cannot be delivered, is kept", "days", 1, 3_650)


@dataclass(frozen=True)
class StreamSettings:
    """The websocket listener of every source whose calls come over websockets. TLS is that of `tls_certificate`."""

    host: str = _setting(
        "127.0.0.1", "address that platforms' websockets come to; on another than this machine's own each needs secrets"
    )
    port: int = _setting(8766, "port of it; 0 takes any free one", "", 0, 65_535)
    public_url: str = _setting(
        "",
        "what platforms are told to connect to, where that is a proxy, such as wss://calls.example.com; no path of a source",
    )
    allow: tuple[str, ...] = _setting((), "addresses or networks that may connect (a proxy's, behind one); empty: all")
    max_connections: int = _setting(
        512, "connections at once; further ones get 503 (a call has one, or one a party)", "connections", 1, 10_000
    )
    max_calls: int = _setting(256, "calls at once; further ones get 503", "calls", 1, 10_000)
    frame_bytes: int = _setting(65_535, "longest message", "bytes", 4_096, 1_048_576)
    bytes_per_s: int = _setting(
        400_000, "bytes read a connection, ten seconds' worth at once; the rest waits", "bytes/s", 16_000, 10_000_000
    )
    messages_per_s: int = _setting(
        500, "messages read a connection, ten seconds' worth at once; the rest waits", "messages/s", 20, 10_000
    )
    jitter_s: float = _setting(0.2, "how long a message that was overtaken is waited for", "s", 0.02, 2.0)
    open_s: float = _setting(
        10.0, "within so long the handshake, then the call's first message must come", "s", 1.0, 60.0
    )
    idle_s: float = _setting(
        60.0, "a connection on which nothing comes for so long, no answer to a ping either, is over", "s", 2.0, 3_600.0
    )
    held_s: float = _setting(3_600.0, "one on which no message comes for so long is over", "s", 2.0, 86_400.0)
    drain_s: float = _setting(60.0, "how long running calls may go on after SIGTERM", "s", 0.0, 3_600.0)


@dataclass(frozen=True)
class TwilioSettings:
    """Twilio Media Streams, and what speaks like it: SignalWire, Telnyx, Exotel, Plivo."""

    path: str = _setting("/twilio", "path of the address that platforms are told")
    auth_token_file: str = _setting(
        "",
        "file, mode 0600, with the account's auth token, one a line; each connection must be signed with one; "
        "empty: CALLMOOD_TWILIO_AUTH_TOKEN of the environment",
    )
    token_file: str = _setting(
        "",
        "file, mode 0600, with tokens that platforms without such signatures show (header or ?token=), one a line; "
        "empty: CALLMOOD_TWILIO_TOKEN of the environment",
    )
    inbound: str = _setting(
        "customer", "whose track is `inbound`, where the stream's parameters do not say", choices=("customer", "agent")
    )
    trackless: str = _setting(
        "mixed", "whose voice it is where media name no track", choices=("customer", "agent", "mixed")
    )
    l16_order: str = _setting("little", "byte order of 16 bit PCM", choices=("little", "big"))


@dataclass(frozen=True)
class AudioHookSettings:
    """Genesys Cloud AudioHook Monitor."""

    path: str = _setting("/audiohook", "path of the connection URI")
    keys_file: str = _setting(
        "",
        "file, mode 0600, with `API-KEY CLIENT-SECRET` a line, as the integration in Genesys Cloud has them; "
        "empty: CALLMOOD_AUDIOHOOK_KEYS of the environment",
    )
    reconnect_s: float = _setting(10.0, "how long a call whose connection was lost waits for another", "s", 0.0, 60.0)


@dataclass(frozen=True)
class AudioSocketSettings:
    """Asterisk's AudioSocket: a TCP connection a party. It has no credentials: other addresses need an allow-list."""

    host: str = _setting(
        "127.0.0.1", "address that Asterisk connects to; another than this machine's own needs `allow`"
    )
    port: int = _setting(9092, "port of it; 0 takes any free one", "", 0, 65_535)
    allow: tuple[str, ...] = _setting((), "addresses and networks of the Asterisk servers; others are hung up on")

    parties: tuple[str, ...] = _setting(
        (), "whose voice a UUID is: `UUID party=customer&call=NAME&agent=ID`, each value optional, %-encoded"
    )
    parties_file: str = _setting(
        "", "the same from a file, a UUID a line, looked at anew whenever it has changed: for UUIDs of single calls"
    )
    pairing: str = _setting(
        "none",
        "last_digit: UUIDs that differ in their last digit only are one call's parties, 0 the customer, 1 the agent",
        choices=("none", "last_digit"),
    )
    party: str = _setting(
        "mixed", "whose voice it is where nothing of the above says", choices=("customer", "agent", "mixed")
    )
    sample_rate: int = _setting(
        8_000, "rate of audio of the kind 0x10, as which older releases of Asterisk send any rate", "Hz", 8_000, 192_000
    )

    silence_s: float = _setting(
        0.1, "silence is sent back so often: some releases of Asterisk wait for it; 0: never", "s", 0.0, 10.0
    )
    max_connections: int = _setting(512, "connections at once (a party has one)", "connections", 1, 10_000)
    max_calls: int = _setting(256, "calls at once; further ones are hung up on", "calls", 1, 10_000)
    frame_bytes: int = _setting(16_384, "longest frame", "bytes", 320, 65_535)
    bytes_per_s: int = _setting(
        400_000, "bytes read a connection, ten seconds' worth at once; the rest waits", "bytes/s", 16_000, 10_000_000
    )
    open_s: float = _setting(5.0, "within so long the UUID must come", "s", 0.5, 60.0)
    held_s: float = _setting(900.0, "a connection on which nothing comes for so long is over", "s", 2.0, 86_400.0)
    drain_s: float = _setting(60.0, "how long running calls may go on after SIGTERM", "s", 0.0, 3_600.0)


@dataclass(frozen=True)
class AsteriskSettings:
    """Asterisk's chan_websocket: a websocket a party, on the shared listener."""

    path: str = _setting("/asterisk", "path of the uri in websocket_client.conf")
    token_file: str = _setting(
        "",
        "file, mode 0600, with the passwords of websocket_client.conf (or ?token= of its uri), one a line; "
        "empty: CALLMOOD_ASTERISK_TOKEN of the environment",
    )
    party: str = _setting(
        "mixed", "whose voice it is where the uri's parameters do not say", choices=("customer", "agent", "mixed")
    )


@dataclass(frozen=True)
class Settings:
    """How a node listens, reads and tells. Make one with `load`, which checks types and ranges."""

    node: str = _setting("callmood", "name of this node, in `hello`")
    model: str = _setting("", "path of the model file; empty: the one that comes with callmood")

    window_s: float = _setting(3.0, "length of a window; the model's own", "s", 3.0, 3.0)
    hop_s: float = _setting(0.5, "from one reading of a party to the next, in steps of 0.25", "s", 0.25, 3.0)
    max_lost_s: float = _setting(
        0.5, "a window that lost more audio than this is not scored: state `gap`", "s", 0.0, 3.0
    )
    min_speech_s: float = _setting(0.5, "a window with less speech than this is not scored", "s", 0.1, 3.0)

    score_agent: bool = _setting(False, "read the agent's emotion too; the law of your country may forbid it")
    score_mixed: bool = _setting(False, "read the emotion of a single channel that mixes both parties")

    smooth_s: float = _setting(
        3.0, "time constant over which scores are averaged into the rolling label", "s", 0.0, 30.0
    )
    mood_s: float = _setting(20.0, "how much of a party's last speech its mood rests on", "s", 3.0, 120.0)
    outcome_s: float = _setting(30.0, "how much of the last speech a call's outcome rests on", "s", 3.0, 300.0)

    alert_rules: str = _setting(
        "", "TOML file with the rules for alerts, as `callmood alerts rules` prints one; empty: those"
    )

    host: str = _setting(
        "127.0.0.1", "address that the websocket listens on; any but this machine's own needs TLS and tokens"
    )
    port: int = _setting(8765, "port of the websocket; 0 takes any free one", "", 0, 65_535)
    page: bool = _setting(True, "serve the agents' desktop page at /")
    backlog: int = _setting(
        512, "messages kept for a slow subscriber; older readings are dropped and counted", "messages", 16, 2_048
    )
    resume: int = _setting(
        256, "messages of each call kept for a subscriber that comes back after a cut", "messages", 0, 65_536
    )
    heartbeat_s: float = _setting(
        10.0, "a subscriber that would hear nothing for so long gets a heartbeat", "s", 0.1, 60.0
    )
    tls_certificate: str = _setting("", "PEM file with the certificate and its chain; SIGHUP reads it anew")
    tls_key: str = _setting("", "PEM file with its private key, mode 0600; SIGHUP reads it anew")
    token_secret: str = _setting(
        "", "file with the HS256 secret of the tokens, mode 0600; `callmood token` signs with it"
    )
    token_public_key: str = _setting("", "PEM file with the RS256 or ES256 public key of an identity provider")
    token_audience: str = _setting("callmood", "`aud` that every token must name")
    origins: tuple[str, ...] = _setting(
        (), "pages that may connect besides those of this machine, such as https://crm.example.com"
    )
    max_connections: int = _setting(2_048, "connections at once", "connections", 1, 100_000)
    max_connections_per_address: int = _setting(
        256, "connections at once from one address other than this machine's own", "connections", 1, 100_000
    )
    max_connections_per_token: int = _setting(64, "connections at once with one token", "connections", 1, 100_000)
    audit_log: str = _setting(
        "", "file, mode 0600, that says who watched what, a JSON object a line; empty: the log, with --verbose"
    )

    queue_s: float = _setting(
        10.0, "audio that may wait for scoring, a party on average, before the oldest is dropped", "s", 1.0, 60.0
    )
    late_s: float = _setting(
        2.0, "while audio waits longer than this for scoring, new telephone calls get 503", "s", 0.2, 60.0
    )
    show_identities: bool = _setting(
        False, "show phone numbers, names and agents' ids in messages and logs; else pseudonyms stand for them"
    )
    max_calls: int = _setting(1_000, "calls at once; further ones are refused", "calls", 1, 100_000)

    rtp: RtpSettings = _table(RtpSettings, "how RTP is received, of calls that come by SIP", always=True)

    history: HistorySettings = _table(HistorySettings, "calls, readings and alerts on disk; no audio", always=True)

    siprec: SiprecSettings | None = _table(
        SiprecSettings, "SIPREC recording server: recorded calls come by SIP and RTP"
    )
    webhooks: WebhookSettings | None = _table(
        WebhookSettings, "webhooks: alerts are posted to other systems by serve, live and replay --pace live"
    )

    streams: StreamSettings = _table(
        StreamSettings, "the websocket listener, of calls that come by [twilio], [audiohook] or [asterisk]", always=True
    )
    twilio: TwilioSettings | None = _table(
        TwilioSettings, "Twilio Media Streams, SignalWire, Telnyx, Exotel, Plivo: calls come by websocket"
    )
    audiohook: AudioHookSettings | None = _table(AudioHookSettings, "Genesys Cloud AudioHook: calls come by websocket")
    asterisk: AsteriskSettings | None = _table(AsteriskSettings, "Asterisk's chan_websocket: calls come by websocket")
    audiosocket: AudioSocketSettings | None = _table(AudioSocketSettings, "Asterisk's AudioSocket: calls come by TCP")

    @classmethod
    def load(cls, path: Path | None = None, overrides: Iterable[str] = ()) -> "Settings":
        """Defaults, then the TOML file at `path`, then `NAME=VALUE` overrides. Raises SettingError."""
        values = _read_toml(path) if path else {}
        for override in overrides:
            name, equals, text = override.partition("=")
            if not equals:
                raise SettingError(f"--set takes NAME=VALUE, got {override!r}: for example --set hop_s=1.0")
            _override(cls, values, name.strip(), text.strip())
        settings: Settings = _made(cls, values)
        return settings

    def to_toml(self) -> str:
        """Every setting with its help, unit and range, as TOML that `load` reads back to an equal value."""
        return "\n".join(_toml_entries(self))

    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults, by name."""
        return dict(_changed(self))


def _fields(kind: type) -> Mapping[str, "dataclasses.Field[Any]"]:
    return {field.name: field for field in dataclasses.fields(kind)}


def _field(kind: type, name: str, prefix: str = "") -> "dataclasses.Field[Any]":
    fields = _fields(kind)
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1, cutoff=0.4)
        cure = f"did you mean {prefix + near[0]!r}?" if near else "`callmood config` lists them"
        raise SettingError(f"unknown setting {prefix + name!r}: {cure}")
    return fields[name]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path}: cannot read the settings file: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{path}: not a TOML file: {error}; `callmood config` prints one to start from") from error


def _override(kind: type, values: dict[str, Any], name: str, text: str) -> None:
    """Puts the value that `text` from the command line stands for where `name` says: `hop_s`, or `table.field`."""
    head, dot, rest = name.partition(".")
    field = _field(kind, head)
    if dot and "table" in field.metadata:
        table = values.setdefault(head, {})
        values[head] = table = dict(table) if isinstance(table, dict) else {}
        table[rest] = _parse(_field(field.metadata["table"], rest, f"{head}.").default, text)
    else:
        if dot:
            raise SettingError(f"unknown setting {name!r}: {head} is no table; did you mean {head!r}?")
        values[head] = _parse(field.default, text)


def _parse(default: Any, text: str) -> Any:
    """The value that `text` stands for where a value like `default` is expected."""
    if isinstance(default, str):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if isinstance(default, tuple):
            return [part.strip() for part in text.split(",") if part.strip()]
        return text


def _made(kind: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    return kind(**{name: _check(_field(kind, name, prefix), value, prefix) for name, value in values.items()})


def _check(field: "dataclasses.Field[Any]", value: Any, prefix: str) -> Any:
    """`value` as the field holds it. Raises SettingError with what was got and what was expected."""
    name, meta = prefix + field.name, field.metadata
    default: Any = field.default
    if "table" in meta:
        if not isinstance(value, dict):
            raise SettingError(f"{name} must be a table, got {value!r}: write [{name}] above its settings")
        return _made(meta["table"], value, f"{name}.")
    if isinstance(default, tuple):
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise SettingError(f'{name} must be a list of texts, got {value!r}: for example {name} = ["one", "two"]')
        if wrong := [part for part in value if meta["choices"] and part not in meta["choices"]]:
            raise SettingError(f"{name} must be of {', '.join(meta['choices'])}, got {wrong[0]!r}")
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(default):
        raise SettingError(f"{name} must be {_TYPES[type(default)]}, got {value!r}")
    low, high = meta["low"], meta["high"]
    if low is not None and not low <= value <= high:
        unit = f" {meta['unit']}" if meta["unit"] else ""
        raise SettingError(f"{name} must be within {low:g}..{high:g}{unit}, got {value:g}")
    if meta["choices"] and value not in meta["choices"]:
        raise SettingError(f"{name} must be one of {', '.join(meta['choices'])}, got {value!r}")
    if name == "hop_s" and value % 0.25:
        raise SettingError(f"hop_s must be a multiple of 0.25 s, got {value:g}")
    return value


_TYPES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}


def _toml_entries(values: Any) -> Iterator[str]:
    """The plain settings, then the tables: one that is off is commented out, so that it stays off when read back."""
    tables = []
    for field in dataclasses.fields(values):
        if "table" in field.metadata:
            tables.append(field)
        else:
            yield _toml_entry(field, getattr(values, field.name))
    for field in tables:
        table = getattr(values, field.name)
        text = f"[{field.name}]\n" + "\n".join(_toml_entries(table or field.metadata["table"]()))
        if table is None:
            text = "".join(f"# {line}\n" if line else "#\n" for line in text.splitlines())
        yield f"# {field.metadata['help']}\n{text}"


def _toml_entry(field: "dataclasses.Field[Any]", value: Any) -> str:
    meta = field.metadata
    span = f"; {meta['low']:g}..{meta['high']:g}" if meta["low"] is not None else ""
    unit = f" [{meta['unit']}]" if meta["unit"] else ""
    choices = f"; one of {', '.join(meta['choices'])}" if meta["choices"] else ""
    return f"# {meta['help']}{unit}{span}{choices}\n{field.name} = {_toml_value(value)}\n"


def _toml_value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case tuple():
            return f"[{', '.join(map(_toml_value, value))}]"
        case _:
            return repr(value)


def _changed(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if "table" not in field.metadata:
            if value != field.default:
                yield prefix + field.name, value
        elif value != field.default:
            if field.default is None:
                yield prefix + field.name, "on"
            yield from _changed(value, f"{prefix}{field.name}.")
