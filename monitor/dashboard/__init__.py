"""The supervisors' terminal: `screen.render` draws a snapshot, `screen.Dashboard` keeps it on the screen."""
