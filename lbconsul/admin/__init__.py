"""Shows what the gateway knows, how old that is, and why."""
