"""What is shown of a gateway, and what can be ordered."""
