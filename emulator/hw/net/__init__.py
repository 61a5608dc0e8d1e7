"""The network of a PC: `UserNetwork`, and what a protocol needs, each in its own file."""

from .forwards import Forward
from .user import UserNetwork

__all__ = ["Forward", "UserNetwork"]
