"""Where journeys, their fixes, policies and refused inputs are kept. The ports are in ``port.py``."""
