"""The supervisors' terminal: `render` draws a snapshot, `Dashboard` keeps it on the screen."""

from monitor.dashboard.screen import Dashboard, render

__all__ = ["Dashboard", "render"]
