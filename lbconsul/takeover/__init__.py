"""One gateway takes over from another: the listening sockets pass between them.

`take` is what the new one does before it starts, `Taken` what it has then; a
`Handover` is what the old one does, and the new one after that.
"""
