"""Entry point of the twistd plugin: installs early signal handlers, then imports."""

from lbconsul.process.early_signals import early_signals

early_signals.install()

from lbconsul.tap import Options, makeService  # noqa: E402

__all__ = ["Options", "makeService"]
