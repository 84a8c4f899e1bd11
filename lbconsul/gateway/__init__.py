"""The parts of one gateway, which `lbconsul.service.Gateway` assembles.

They are the data plane, watches, operations, status, events, availability and the
graceful shutdown; `online_check` implements ``--check --online``.
"""
