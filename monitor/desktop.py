"""What an agent's desktop may see of the agent's own call: everything but the agent's own emotion. Pure.

Who speaks when stays visible on both parties; what was read in the agent's voice, where the operator switched that on
(`score_agent`), goes to supervisors only, and so does where a recording lies on the server.
"""

from msgspec.structs import replace

from monitor.messages import (
    AlertAcknowledged,
    AlertCleared,
    AlertRaised,
    AnyCallMessage,
    CallEnded,
    CallStarted,
    Reading,
)


def desktop_view(message: AnyCallMessage, *, agent_only: bool) -> AnyCallMessage | None:
    """`message` as a desktop gets it, the same object where nothing is hidden; None where all of it is.

    `agent_only`: no party but the agent is scored in this call, so its outcome is the agent's mood.
    """
    match message:
        case CallStarted() if message.path is not None or _scores_agent(message):
            parties = {
                name: replace(info, scored=info.scored and name != "agent") for name, info in message.parties.items()
            }
            return replace(message, path=None, parties=parties)
        case Reading(party="agent") if message.state != "not_scored":
            return replace(message, state="not_scored", label=None, mood=None, confidence=None, scores=None)
        case AlertRaised(party="agent") | AlertCleared(party="agent") | AlertAcknowledged(party="agent"):
            return None
        case CallEnded(shares={"agent": _}):
            outcome = "unclear" if agent_only else message.outcome
            return replace(message, outcome=outcome, shares=message.shares | {"agent": {"not_scored": 1.0}})
        case _:
            return message


def _scores_agent(started: CallStarted) -> bool:
    agent = started.parties.get("agent")
    return agent is not None and agent.scored
