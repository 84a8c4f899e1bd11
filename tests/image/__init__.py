"""The test of the image: `python3 -m tests.image`, see `tests.image.__main__`."""
