"""The typed Python client of journeyapi and identityapi, for programs that wait and for event loops."""

from journeymesh.client.asynchronous import AsyncJourneymesh
from journeymesh.client.retries import Retries
from journeymesh.client.sync import Journeymesh

__all__ = ["AsyncJourneymesh", "Journeymesh", "Retries"]
