"""Every setting, typed, from the environment (``JOURNEYMESH_STORE``) and from a TOML file.

The file is ``journeymesh.toml`` in the working directory, or the one that ``JOURNEYMESH_CONFIG`` names. The
environment wins over the file; an option of the command line wins over both.
"""

from __future__ import annotations

import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from journeymesh.errors import SettingsInvalid
from journeymesh.sources.personal_data import PersonalData

ENVIRONMENT_PREFIX: Final = "JOURNEYMESH_"
CONFIG_VARIABLE: Final = "JOURNEYMESH_CONFIG"
DEFAULT_FILE: Final = "journeymesh.toml"


class Settings(BaseSettings):
    """What the command line falls back to where an option is left out."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True)

    store: str = Field("sqlite:///journeys.db", description="URL of the store of journeys")
    source: str | None = Field(None, description="path or URL of the source that `preprocess` reads")
    mapping: str | None = Field(None, description="mapping file of the source")
    rules: str = Field("always-on", description="name of built-in rules, or a rules file")
    policies: str | None = Field(None, description="policies file; left out, the mapping's own policies are read")
    access: str | None = Field(None, description="access file: who vouches, where approvals and the audit are")
    jobs: int = Field(0, ge=0, le=1024, description="threads of the pass; 0 takes every core this process may use")
    keep_fixes: str = Field(
        "all", pattern=r"^(all|none|\d+d)$", description="how long fixes are kept: all, none, or days as in 400d"
    )
    memory_mb: int = Field(32, ge=8, description="bound of the columns in memory at once, in MiB")
    personal_data: PersonalData = Field(
        "allowed",
        description="what is admitted here: none (generated data alone), treated (depersonalised too) or allowed",
    )
    key_store: str | None = Field(None, description="URL of the key store: sqlite:///FILE or postgresql://…")
    key_provider: str | None = Field(
        None, description="URL of who wraps the key store's keys: local:///FILE, pkcs11:…, aws-kms://… or vault://…"
    )
    sealed: bool = Field(
        False,
        description="whether stores are sealed by the key store's keys",
    )
    tombstones: str | None = Field(None, description="URL of the tombstones: sqlite:///FILE or postgresql://…")
    tombstone_key: str | None = Field(None, description="file with the key of tombstones, 64 hexadecimal digits")
    debug: bool = Field(False, description="show a traceback where a fault of the program itself ends a command")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        file = settings_file()
        toml = () if file is None else (TomlConfigSettingsSource(settings_cls, toml_file=file),)
        return (init_settings, env_settings, *toml)


def settings_file() -> Path | None:
    """The settings file that counts here, None where there is none.

    Raises:
        SettingsInvalid: ``JOURNEYMESH_CONFIG`` names a file that does not exist.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise SettingsInvalid(f"{CONFIG_VARIABLE}: {named} does not exist", todo="name a TOML file, or unset it")
        return Path(named)
    default = Path(DEFAULT_FILE)
    return default if default.is_file() else None


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        SettingsInvalid: naming the setting, where it was given and what is wrong with it.
    """
    file = settings_file()
    try:
        return Settings()  # type: ignore[call-arg]
    except ValidationError as error:
        raise _explained(error, file) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsInvalid(f"settings {file}: not TOML: {error}", todo="correct the file") from error
    except OSError as error:
        raise SettingsInvalid(f"settings {file} cannot be read: {error}", todo="correct its permissions") from error


def retention_of(keep_fixes: str) -> timedelta | None:
    """``all`` is None (without end), ``none`` is zero, ``400d`` is 400 days.

    Raises:
        SettingsInvalid: for anything else.
    """
    match keep_fixes:
        case "all":
            return None
        case "none":
            return timedelta(0)
        case days if days.endswith("d") and days[:-1].isdecimal() and 0 < int(days[:-1]) <= 36_500:
            return timedelta(days=int(days[:-1]))
    raise SettingsInvalid(f"keep_fixes is {keep_fixes!r}", todo="use all, none, or a number of days such as 400d")


def _explained(error: ValidationError, file: Path | None) -> SettingsInvalid:
    first: Any = error.errors(include_url=False)[0]
    name = ".".join(str(step) for step in first["loc"])
    variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    place = variable if variable in os.environ else f"settings {file}: {name}"
    if first["type"] == "extra_forbidden":
        return SettingsInvalid(f"{place}: unknown setting", todo=f"known: {', '.join(sorted(Settings.model_fields))}")
    wish = Settings.model_fields[name].description if name in Settings.model_fields else "see docs/reference/settings"
    return SettingsInvalid(f"{place} is {first['input']!r}: {first['msg']}", todo=f"it is the {wish}")
