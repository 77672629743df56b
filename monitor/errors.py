"""What can go wrong, each with a stable code.

CallmoodError
├── SettingError    setting    a setting, a command line option or a rule that cannot hold
├── AudioError      audio      samples or a recording that cannot be read as a call
├── SourceError     source     a source that failed by a fault of our own: its calls have ended
├── DeviceError     device     a microphone, or PortAudio itself, that is not there
├── ModelError      model      a model file that is missing, broken or contradicts the settings
├── ProtocolError   protocol   what a peer sent is not what its protocol says
├── ServiceError    service    a listener that cannot be opened
├── AccessError     access     a request that nobody, or not this asker, may make
├── RequestError    request    a request or a message of a subscriber that means nothing here
├── HistoryError    history    a history that cannot be read or written, or does not hold what was asked for
├── ReportError     report     a call or a day that cannot be reported
├── ScorerError     scorer     one of several processes that score died: its calls have ended, the others go on
└── PipelineError   pipeline   a fault of our own: scoring stopped

Every text is one line that says what was got, what was expected and how to mend it, lower case, no full stop.
"""


class CallmoodError(Exception):
    """The root of everything that callmood raises on purpose."""

    code = "callmood"

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


class SettingError(CallmoodError):
    """A setting, a command line option or a rule that cannot hold."""

    code = "setting"


class AudioError(CallmoodError):
    """Samples or a recording that cannot be read as a call."""

    code = "audio"


class SourceError(CallmoodError):
    """A source that failed by a fault of our own: its calls have ended, the others go on."""

    code = "source"


class DeviceError(CallmoodError):
    """A microphone, or PortAudio itself, that is not there."""

    code = "device"


class ModelError(CallmoodError):
    """A model file that is missing, broken or contradicts the settings."""

    code = "model"


class ProtocolError(CallmoodError):
    """What a peer sent is not what its protocol says: its call may end, the others go on."""

    code = "protocol"


class ServiceError(CallmoodError):
    """A listener that cannot be opened."""

    code = "service"


class AccessError(CallmoodError):
    """A request that nobody, or not this asker, may make."""

    code = "access"

    def __init__(self, text: str, status: int = 403, reason: str = "scope") -> None:
        super().__init__(text)
        self.status = status
        """401 without a valid token, 403 where the token does not reach, 429 or 503 for too many."""
        self.reason = reason
        """One word, for the counter."""


class RequestError(CallmoodError):
    """A request or a message of a subscriber that means nothing here."""

    code = "request"

    def __init__(self, text: str, status: int = 400, reason: str = "garbage") -> None:
        super().__init__(text)
        self.status = status
        """As in HTTP: 400, 404."""
        self.reason = reason
        """One word, for the counter."""


class HistoryError(CallmoodError):
    """A history that cannot be read or written, or does not hold what was asked for."""

    code = "history"


class ReportError(CallmoodError):
    """A call or a day that cannot be reported."""

    code = "report"


class ScorerError(CallmoodError):
    """One of several processes that score died: its calls have ended, the others go on."""

    code = "scorer"


class PipelineError(CallmoodError):
    """A fault of our own: scoring stopped."""

    code = "pipeline"
