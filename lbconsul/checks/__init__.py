"""The gateway's own checks of instances: when, how, and what their results say."""
