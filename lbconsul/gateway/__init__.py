"""The parts of one gateway, between the service and the rooms."""
