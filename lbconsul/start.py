"""What twistd loads: all of lbconsul, but signals first."""

from lbconsul.process.early_signals import early_signals

early_signals.install()

from lbconsul.tap import Options, makeService  # noqa: E402

__all__ = ["Options", "makeService"]
