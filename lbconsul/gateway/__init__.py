"""The parts of one gateway, which `lbconsul.service.Gateway` joins.

They are the data plane, watches, operations, status, events, availability and the
graceful shutdown; `online_check` is what ``--check --online`` runs.
"""
