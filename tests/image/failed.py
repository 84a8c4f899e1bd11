"""How a check of the image fails."""


class Failed(Exception):
    """Something about the image is not as it must be; the text tells what."""
