"""Tables of settings: one a source, and those of what is told and kept."""

from dataclasses import dataclass

from monitor.settings.fields import setting


@dataclass(frozen=True)
class RtpSettings:
    """How RTP is received, for every source whose calls come as RTP."""

    host: str = setting("127.0.0.1", "address that RTP comes to; one that others can reach needs `allow`")
    public_host: str = setting("", "address that answers name for RTP, behind a NAT; empty: host")
    allow: tuple[str, ...] = setting((), "addresses or networks that may send RTP; empty: all, on loopback only")
    first_port: int = setting(20_000, "first port for RTP; a party takes two, RTCP on the odd one", "", 1_024, 65_534)
    last_port: int = setting(23_999, "last port for RTP", "", 1_025, 65_535)
    jitter_s: float = setting(0.2, "how long a missing packet is waited for, before it is lost", "s", 0.02, 2.0)
    relatch_s: float = setting(2.0, "silence after which a stream may come from another address", "s", 0.2, 60.0)
    packets_per_s: int = setting(500, "packets taken a stream; more are dropped and counted", "packets/s", 50, 10_000)
    bytes_per_s: int = setting(
        100_000, "bytes taken a stream; more are dropped and counted", "bytes/s", 8_000, 10_000_000
    )


@dataclass(frozen=True)
class SiprecSettings:
    """The SIPREC recording server. Addresses other than this machine's own need an allow-list."""

    host: str = setting("127.0.0.1", "address that SIP listens on; another than this machine's own needs `allow`")
    port: int = setting(5060, "port of SIP, the same for UDP and TCP; 0 takes any free one", "", 0, 65_535)
    transports: tuple[str, ...] = setting(("udp", "tcp"), "what SIP listens on", choices=("udp", "tcp"))
    allow: tuple[str, ...] = setting(
        (), "addresses and networks of the recording clients, such as 192.0.2.7 or 192.0.2.0/24; others get no answer"
    )
    public_host: str = setting("", "address that clients are told to send to; empty: the one that they reached")

    agent: tuple[str, ...] = setting(
        (), "who is an agent: patterns of addresses and names, such as sip:*@agents.example"
    )
    customer: tuple[str, ...] = setting(
        (), "who is a customer: patterns likewise, such as tel:*; agents are told first"
    )
    label_order: str = setting(
        "agent,customer",
        "who has the lower stream label where no pattern says",
        choices=("agent,customer", "customer,agent"),
    )

    max_calls: int = setting(
        200, "calls at once; further ones get 503, so that the client fails over", "calls", 1, 10_000
    )
    max_connections: int = setting(256, "TCP connections at once", "", 1, 10_000)
    message_bytes: int = setting(65_535, "longest SIP message", "bytes", 4_096, 1_048_576)
    metadata_bytes: int = setting(32_768, "longest recording metadata", "bytes", 1_024, 1_048_576)
    peer_messages: int = setting(
        500, "SIP messages a second from one address; more wait or are dropped", "", 10, 100_000
    )
    message_s: float = setting(10.0, "within so long a message that began must have come whole (TCP)", "s", 1.0, 60.0)
    idle_s: float = setting(60.0, "a call without media and signalling for so long ends by itself", "s", 2.0, 3_600.0)
    held_s: float = setting(3_600.0, "the same for a call on hold", "s", 2.0, 86_400.0)
    drain_s: float = setting(60.0, "how long running calls may go on after SIGTERM", "s", 0.0, 3_600.0)


@dataclass(frozen=True)
class HistorySettings:
    """What is kept of calls on disk, where, and for how long."""

    file: str = setting(
        "", "the history; empty: history.db in $XDG_STATE_HOME/callmood, else in ~/.local/state/callmood"
    )
    keep: bool = setting(
        True, "keep a history of the calls of `serve` and `live`; of `demo` and `replay` only where `file` is set"
    )
    days: int = setting(30, "an ended call is deleted after so long", "days", 1, 36_500)


@dataclass(frozen=True)
class WebhookSettings:
    """Where alerts are posted. `docs/webhooks.md` is its manual."""

    urls: tuple[str, ...] = setting(
        (), "addresses that alerts are posted to: https://, or http:// of this machine's own addresses"
    )
    secret_files: tuple[str, ...] = setting(
        (),
        "files, mode 0600, with the secret that signs for each of urls, in their order, or one for all; empty: the "
        "environment's CALLMOOD_WEBHOOK_SECRET; SIGHUP reads them anew",
    )
    events: tuple[str, ...] = setting(
        ("raised", "cleared", "acknowledged", "call_ended"),
        "what is posted of an alert; call_ended: its call ended while it was open",
        choices=("raised", "cleared", "acknowledged", "call_ended"),
    )
    severities: tuple[str, ...] = setting(
        ("critical", "warning", "info"), "severities of alerts that are posted", choices=("critical", "warning", "info")
    )
    rules: tuple[str, ...] = setting((), "rules whose alerts are posted, such as sustained_anger; empty: all")
    ca_file: str = setting("", "PEM file with the authority of the receivers' certificates; empty: the system's")
    timeout_s: float = setting(15.0, "within so long an answer must have come whole", "s", 0.1, 60.0)
    retries: int = setting(12, "tries after the first, before a delivery is given up", "", 0, 1_000)
    first_wait_s: float = setting(
        1.0, "wait before the first retry; each further one is twice as long", "s", 0.01, 600.0
    )
    longest_wait_s: float = setting(600.0, "wait between two tries at most", "s", 0.01, 86_400.0)
    queue: str = setting("", "file, mode 0600, in which deliveries wait; empty: webhooks.db in callmood's state folder")
    max_waiting: int = setting(
        10_000, "deliveries that wait for one address; past it the oldest is given up", "deliveries", 10, 1_000_000
    )
    days: int = setting(30, "how long what was given up, or cannot be delivered, is kept", "days", 1, 3_650)


@dataclass(frozen=True)
class StreamSettings:
    """The websocket listener of every source whose calls come over websockets. TLS is that of `tls_certificate`."""

    host: str = setting(
        "127.0.0.1", "address that platforms' websockets come to; on another than this machine's own each needs secrets"
    )
    port: int = setting(8766, "port of it; 0 takes any free one", "", 0, 65_535)
    public_url: str = setting(
        "",
        "what platforms are told to connect to, where that is a proxy, such as wss://calls.example.com; no path of a source",
    )
    allow: tuple[str, ...] = setting((), "addresses or networks that may connect (a proxy's, behind one); empty: all")
    max_connections: int = setting(
        512, "connections at once; further ones get 503 (a call has one, or one a party)", "connections", 1, 10_000
    )
    max_calls: int = setting(256, "calls at once; further ones get 503", "calls", 1, 10_000)
    frame_bytes: int = setting(65_535, "longest message", "bytes", 4_096, 1_048_576)
    bytes_per_s: int = setting(
        400_000, "bytes read a connection, ten seconds' worth at once; the rest waits", "bytes/s", 16_000, 10_000_000
    )
    messages_per_s: int = setting(
        500, "messages read a connection, ten seconds' worth at once; the rest waits", "messages/s", 20, 10_000
    )
    jitter_s: float = setting(0.2, "how long a message that was overtaken is waited for", "s", 0.02, 2.0)
    open_s: float = setting(
        10.0, "within so long the handshake, then the call's first message must come", "s", 1.0, 60.0
    )
    idle_s: float = setting(
        60.0, "a connection on which nothing comes for so long, no answer to a ping either, is over", "s", 2.0, 3_600.0
    )
    held_s: float = setting(3_600.0, "one on which no message comes for so long is over", "s", 2.0, 86_400.0)
    drain_s: float = setting(60.0, "how long running calls may go on after SIGTERM", "s", 0.0, 3_600.0)


@dataclass(frozen=True)
class TwilioSettings:
    """Twilio Media Streams, and what speaks like it: SignalWire, Telnyx, Exotel, Plivo."""

    path: str = setting("/twilio", "path of the address that platforms are told")
    auth_token_file: str = setting(
        "",
        "file, mode 0600, with the account's auth token, one a line; each connection must be signed with one; "
        "empty: CALLMOOD_TWILIO_AUTH_TOKEN of the environment",
    )
    token_file: str = setting(
        "",
        "file, mode 0600, with tokens that platforms without such signatures show (header or ?token=), one a line; "
        "empty: CALLMOOD_TWILIO_TOKEN of the environment",
    )
    inbound: str = setting(
        "customer", "whose track is `inbound`, where the stream's parameters do not say", choices=("customer", "agent")
    )
    trackless: str = setting(
        "mixed", "whose voice it is where media name no track", choices=("customer", "agent", "mixed")
    )
    l16_order: str = setting("little", "byte order of 16 bit PCM", choices=("little", "big"))


@dataclass(frozen=True)
class AudioHookSettings:
    """Genesys Cloud AudioHook Monitor."""

    path: str = setting("/audiohook", "path of the connection URI")
    keys_file: str = setting(
        "",
        "file, mode 0600, with `API-KEY CLIENT-SECRET` a line, as the integration in Genesys Cloud has them; "
        "empty: CALLMOOD_AUDIOHOOK_KEYS of the environment",
    )
    reconnect_s: float = setting(10.0, "how long a call whose connection was lost waits for another", "s", 0.0, 60.0)


@dataclass(frozen=True)
class AudioSocketSettings:
    """Asterisk's AudioSocket: a TCP connection a party. It has no credentials: other addresses need an allow-list."""

    host: str = setting("127.0.0.1", "address that Asterisk connects to; another than this machine's own needs `allow`")
    port: int = setting(9092, "port of it; 0 takes any free one", "", 0, 65_535)
    allow: tuple[str, ...] = setting((), "addresses and networks of the Asterisk servers; others are hung up on")

    parties: tuple[str, ...] = setting(
        (), "whose voice a UUID is: `UUID party=customer&call=NAME&agent=ID`, each value optional, %-encoded"
    )
    parties_file: str = setting(
        "", "the same from a file, a UUID a line, looked at anew whenever it has changed: for UUIDs of single calls"
    )
    pairing: str = setting(
        "none",
        "last_digit: UUIDs that differ in their last digit only are one call's parties, 0 the customer, 1 the agent",
        choices=("none", "last_digit"),
    )
    party: str = setting(
        "mixed", "whose voice it is where nothing of the above says", choices=("customer", "agent", "mixed")
    )
    sample_rate: int = setting(
        8_000, "rate of audio of the kind 0x10, as which older releases of Asterisk send any rate", "Hz", 8_000, 192_000
    )

    silence_s: float = setting(
        0.1, "silence is sent back so often: some releases of Asterisk wait for it; 0: never", "s", 0.0, 10.0
    )
    max_connections: int = setting(512, "connections at once (a party has one)", "connections", 1, 10_000)
    max_calls: int = setting(256, "calls at once; further ones are hung up on", "calls", 1, 10_000)
    frame_bytes: int = setting(16_384, "longest frame", "bytes", 320, 65_535)
    bytes_per_s: int = setting(
        400_000, "bytes read a connection, ten seconds' worth at once; the rest waits", "bytes/s", 16_000, 10_000_000
    )
    open_s: float = setting(5.0, "within so long the UUID must come", "s", 0.5, 60.0)
    held_s: float = setting(900.0, "a connection on which nothing comes for so long is over", "s", 2.0, 86_400.0)
    drain_s: float = setting(60.0, "how long running calls may go on after SIGTERM", "s", 0.0, 3_600.0)


@dataclass(frozen=True)
class AsteriskSettings:
    """Asterisk's chan_websocket: a websocket a party, on the shared listener."""

    path: str = setting("/asterisk", "path of the uri in websocket_client.conf")
    token_file: str = setting(
        "",
        "file, mode 0600, with the passwords of websocket_client.conf (or ?token= of its uri), one a line; "
        "empty: CALLMOOD_ASTERISK_TOKEN of the environment",
    )
    party: str = setting(
        "mixed", "whose voice it is where the uri's parameters do not say", choices=("customer", "agent", "mixed")
    )
