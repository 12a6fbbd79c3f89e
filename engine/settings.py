"""Settings, read once: command line over environment (`UNSEEN_*`) over the settings file over defaults.

docs/settings.md lists them for people.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from platformdirs import user_cache_path, user_config_path, user_data_path
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from engine.errors import UnseenError

CONFIG = "UNSEEN_CONFIG"  # names the settings file

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What can be set; each field `x` is read from the environment variable `UNSEEN_X`, or from `x` in the file."""

    model_config = SettingsConfigDict(env_prefix="UNSEEN_", env_ignore_empty=True, frozen=True)

    # The library
    library: Path = Field(default_factory=lambda: user_data_path("unseen"), description="library folder")
    cache: Path = Field(
        default_factory=lambda: user_cache_path("unseen"),
        description="word vectors, exported encoders and features, which can be made again; bundles that were fetched",
    )
    model: str = Field(
        default="lite",
        description="bundle: a name, or a folder that holds `bundle.json`; a library keeps its own where not set",
    )
    jobs: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="threads for indexing")

    # Where the server is, and who may ask it
    host: str = Field(default="127.0.0.1", description="address that the server listens on")
    port: int = Field(default=8410, ge=1, le=65535, description="port that it listens on")
    auth: bool | None = Field(
        default=None, description="whether a token is asked for; where not set, if others than this machine may ask"
    )
    hosts: Names = Field(default=(), description="names that the server answers to beside its own")
    proxies: Names = Field(default=(), description="addresses or networks of reverse proxies that are believed")
    prefix: str = Field(default="", pattern=r"^(/[\w.~-]+)*$", description="path that a reverse proxy puts before ours")
    cors: Names = Field(default=(), description="other web sites that may call the API, as https://example.org")
    roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="folders that may be indexed from the page, beside those indexed before"
    )

    # How it runs
    threads: int = Field(default=16, ge=1, le=256, description="requests that are answered at once")
    rate: int | None = Field(
        default=None,
        ge=0,
        description="costly calls a minute for each client, 0 for any number; where not set, "
        "60 if others than this machine may ask",
    )
    log_requests: bool = Field(default=False, description="whether each request is a line in the log")
    log_queries: bool = Field(default=False, description="whether such a line tells what was searched for")
    log_format: Literal["text", "json"] = Field(default="text", description="lines for people, or a JSON object each")
    debug: bool = Field(default=False, description="whether commands show tracebacks")

    @property
    def chosen_model(self) -> str | None:
        """The model that the user has chosen; None where a library that is there keeps its own."""
        return self.model if "model" in self.model_fields_set else None

    @field_validator("hosts", "proxies", "cors", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        """A list may be written as one text with commas."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("roots", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        """A list may be written like PATH."""
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("library", "cache", "roots")
    @classmethod
    def _home(cls, value: Path | tuple[Path, ...]) -> Path | tuple[Path, ...]:
        """~ is the home folder, also where no shell has said so."""
        return value.expanduser() if isinstance(value, Path) else tuple(path.expanduser() for path in value)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What counts more comes first."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, settings_file())


def settings_file() -> Path:
    """The settings file that is read, whether or not it exists."""
    named = os.environ.get(CONFIG)
    return Path(named).expanduser() if named else user_config_path("unseen") / "config.toml"


def load_settings(**overrides: object) -> Settings:
    """Settings, with `overrides` that are not None on top; raises UnseenError on a value that cannot be."""
    file = settings_file()
    if os.environ.get(CONFIG) and not file.is_file():
        raise UnseenError(f"There is no settings file {file}", f"{CONFIG} names it")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UnseenError(f"There is no setting {name}", f"Look into {file}") from None
        raise UnseenError(
            f"Setting {name} (UNSEEN_{name.upper()}): {first['msg']}", f"Got {first['input']!r}"
        ) from None
    except (OSError, ValueError) as error:  # TOML that cannot be read
        raise UnseenError(f"The settings file {file} cannot be read: {error}") from None
