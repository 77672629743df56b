"""What this machine carries, what a party costs it and where, and what other ways would cost."""
