"""callmood: the emotion expressed in a caller's voice, every half second, while the call goes on."""

__version__ = "0.1.0"
