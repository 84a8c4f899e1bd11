"""Shows what the gateway believes, how old that is, and why."""
