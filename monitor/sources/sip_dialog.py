"""One SIP dialog as its server sees it, and its session timer (RFC 3261 12, RFC 4028). Pure."""

import re

from monitor.sources import sip
from monitor.sources.sip import Address, Request
from monitor.sources.sip_transactions import Peer, new_branch

LEAST_SESSION_S = 90
"""RFC 4028 5: no session timer may be shorter."""


class Dialog:
    """What both ends have agreed upon since the INVITE."""

    def __init__(self, invite: Request, own_tag: str, peer: Peer) -> None:
        self.call_id, self.sender_tag, self.own_tag = invite.call_id, invite.sender_tag, own_tag
        self.peer = peer
        """Where the last request came from: there ours go too, since clients behind address translators are found so."""
        self._them, self._us = invite.headers.first("from"), f"{invite.headers.first('to')};tag={own_tag}"
        self._route = invite.headers.every("record-route")
        self._target = _contact(invite)
        self._last_cseq = invite.cseq
        self._own_cseq = 0

    def follows(self, request: Request, peer: Peer) -> bool:
        """Whether a request within the dialog is newer than the last (RFC 3261 12.2.2); then it counts as the last."""
        if request.cseq <= self._last_cseq:
            return False
        self._last_cseq, self.peer = request.cseq, peer
        if request.method in ("INVITE", "UPDATE"):
            self._target = _contact(request) or self._target
        return True

    def request(self, method: str, sent_by: str) -> tuple[str, bytes]:
        """Branch and bytes of a request of ours; `sent_by` is our own host and port."""
        branch = new_branch()
        self._own_cseq += 1
        transport = "TCP" if self.peer.connection else "UDP"
        headers = [
            ("Via", f"SIP/2.0/{transport} {sent_by};branch={branch};rport"),
            *(("Route", route) for route in self._route),
            ("From", self._us),
            ("To", self._them),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._own_cseq} {method}"),
            ("Max-Forwards", "70"),
            ("User-Agent", "callmood"),
        ]
        return branch, sip.request(method, self._target or Address.parse(self._them).uri, headers)


def _contact(request: Request) -> str:
    return next((Address.parse(text).uri for text in request.headers.every("contact")), "")


def session_timer(request: Request) -> int:
    """Seconds after which a session ends that the client did not refresh; 0 where it runs no timer or wants us to refresh.

    RFC 4028 9: without a 2xx that says otherwise there is no expiration, so what we do not do is not promised.
    """
    interval, *params = request.headers.first("session-expires").split(";")
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", interval) or not _supports_timer(request):
        return 0
    return 0 if sip.parse_params(params).get("refresher", "uac").lower() == "uas" else int(interval)


def _supports_timer(request: Request) -> bool:
    words = (*request.headers.every("supported"), *request.headers.every("require"))
    return "timer" in (word.lower() for word in words)


def expires_s(interval: int) -> float:
    """How long to wait for a refresh: somewhat less than the whole interval (RFC 4028 10)."""
    return interval - min(32.0, interval / 3)
