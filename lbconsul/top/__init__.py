"""``lbconsul top``: a gateway's figures, live in a terminal.

What is shown is decided by pure modules, from documents of ``/status``; `app` and what
it imports draw that with Textual, and `feed` asks the gateway.
"""
