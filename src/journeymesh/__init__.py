"""Journeymesh: journeys and policy summaries from black-box telematics."""

__version__ = "0.1.0"
