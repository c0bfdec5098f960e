"""The words by which columns are known: English, German, French, Spanish, Italian and Dutch, without their accents."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

WORDS: Final[dict[str, dict[str, int]]] = {
    "lat": {
        "lat": 4, "latitude": 4, "latitudee7": 4, "latdeg": 4, "ycoord": 2, "y": 1, "breite": 3, "breitengrad": 4,
        "latitud": 4, "latitudine": 4, "breedtegraad": 4, "breedte": 3,
    },
    "lon": {
        "lon": 4, "lng": 4, "long": 4, "longitude": 4, "longitudee7": 4, "londeg": 4, "xcoord": 2, "x": 1, "laenge": 3,
        "lange": 3, "langengrad": 4, "laengengrad": 4, "longitud": 4, "longitudine": 4, "lengtegraad": 4, "lengte": 3,
    },
    "fixed_at": {
        "fixtime": 7, "devicetime": 6, "coordtimes": 6, "times": 4, "timestamps": 4,
        "fixed": 5, "gpstime": 5, "timestamp": 4, "timestampms": 4, "ts": 4, "tst": 4,
        "datetime": 4, "time": 3, "date": 2, "at": 2, "when": 2, "zeit": 3, "t": 1, "recorded": 4, "zeitstempel": 4,
        "zeitpunkt": 4, "uhrzeit": 3, "datum": 2, "heure": 3, "horodatage": 4, "temps": 2, "hora": 3, "fecha": 2,
        "fechahora": 4, "tiempo": 2, "ora": 3, "orario": 3, "data": 1, "dataora": 4, "tijd": 3, "tijdstip": 4,
        "tijdstempel": 4,
    },
    "received_at": {
        "received": 5, "servertime": 5, "server": 4, "created": 3, "inserted": 3, "arrived": 4, "empfangen": 5,
        "empfang": 4, "recu": 4, "reception": 4, "recibido": 5, "recepcion": 4, "ricevuto": 5, "ricezione": 4,
        "ontvangen": 5,
    },
    "vehicle": {
        "vehicle": 6, "vehicleid": 6, "deviceid": 6, "device": 5, "imei": 6, "unit": 3, "box": 4, "car": 4, "truck": 4,
        "taxi": 4, "bus": 4, "vin": 5, "plate": 4, "tid": 3, "asset": 4, "tracker": 4, "dev": 4, "unitid": 4, "user": 2,
        "userid": 2, "sensor": 3, "id": 1, "serial": 3, "name": 1, "veh": 4, "vehid": 5, "fahrzeug": 6,
        "kennzeichen": 5, "geraet": 5, "gerat": 5, "fin": 4, "fahrgestellnummer": 5, "vehicule": 6,
        "immatriculation": 5, "boitier": 5, "appareil": 4, "vehiculo": 6, "matricula": 5, "dispositivo": 5, "equipo": 3,
        "veicolo": 6, "targa": 5, "voertuig": 6, "kenteken": 5, "apparaat": 5, "toestel": 4,
    },
    "speed": {
        "speed": 5, "velocity": 4, "spd": 4, "kmh": 4, "kph": 4, "mph": 4, "vel": 3, "sog": 4, "tempo": 3,
        "geschwindigkeit": 5, "vitesse": 5, "velocidad": 5, "velocita": 5, "snelheid": 5,
    },
    "heading": {
        "heading": 5, "course": 5, "bearing": 5, "cog": 4, "azimuth": 3, "direction": 3, "hdg": 4, "track": 1,
        "angle": 3, "richtung": 4, "fahrtrichtung": 5, "kurs": 5, "cap": 4, "rumbo": 5, "direccion": 3, "rotta": 4,
        "direzione": 4, "koers": 5, "richting": 4,
    },
    "ignition": {
        "ignition": 5, "ign": 4, "acc": 1, "engine": 3, "motor": 2, "key": 1, "zundung": 5, "zuendung": 5,
        "contact": 4, "allumage": 4, "encendido": 5, "contacto": 4, "accensione": 5, "quadro": 3, "contactslot": 5,
        "ontsteking": 5,
    },
    "accuracy": {
        "accuracy": 5, "acc": 2, "horizontalaccuracy": 5, "precision": 3, "uncertainty": 3, "genauigkeit": 5,
        "precisione": 4, "nauwkeurigheid": 5,
    },
    "hdop": {"hdop": 5, "dilution": 3},
}  # fmt: skip
"""By field what each word weighs. What a word also means elsewhere weighs little, and the values decide."""

NOT: Final[dict[str, set[str]]] = {
    "speed": {"limit", "obd", "engine", "rpm", "accuracy", "wind", "max", "grenze", "limite", "limiet", "motor"},
    "fixed_at": {"received", "server", "created", "zone", "timezone", "inserted", "upload", "elapsed", "empfangen",
                 "empfang", "reception", "recibido", "ricevuto", "ontvangen", "zeitzone"},
    "accuracy": {"dilution", "dop", "hdop", "pdop", "vdop", "vertical", "speed", "bearing", "altitude", "vac",
                 "heading"},
    "hdop": {"vertical", "time", "geometric"},
    "heading": {"accuracy"},
    "lat": {"lateral", "accel"},
    "lon": {"longitudinal", "accel"},
    "vehicle": {"speed", "limit"},
}  # fmt: skip

TRAITS: Final = frozenset({
    "brand", "category", "class", "color", "colour", "fuel", "make", "manufacturer", "model", "modell", "state",
    "status", "typ", "type", "year",
})  # fmt: skip
"""What a vehicle is, and not which one."""
UNITS: Final = frozenset({
    "%", "bar", "deg", "degree", "degrees", "ft", "ft/s", "g/s", "gal", "hpa", "kg/h", "km", "km/h", "kmh", "kmph",
    "kn", "knots", "kpa", "kph", "kt", "kts", "kw", "l/100km", "l/h", "m/s", "mi", "miles", "min", "mph", "mps", "ms",
    "nm", "precision", "psi", "rpm", "sec", "u/min", "volt", "°", "°c", "°f",
})  # fmt: skip
"""Texts that are units, and no vehicle's name."""


def plain_letters(text: str) -> str:
    """The text without accents: ``Lange`` for ``Länge``."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))


def words_of(path: str) -> list[str]:
    """The words of a path in plain small letters: of ``gps.fixTime[s]`` gps, fix, time, fixtime and s."""
    words: list[str] = ["kmh"] if "km/h" in path.lower() else []
    for step in re.split(r"[.\[\]()/ ]+", plain_letters(path)):
        parts = [part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", step)]
        words += parts
        if len(parts) > 1:
            words.append("".join(parts))
    return words
