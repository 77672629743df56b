"""What was told of calls, on disk: written beside the live path, read, exported and deleted."""
