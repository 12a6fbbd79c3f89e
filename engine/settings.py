"""Settings, read once: command line over environment (`UNSEEN_*`) over defaults."""

import os
from pathlib import Path
from typing import Annotated

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from engine.errors import UnseenError


class Settings(BaseSettings):
    """What can be set; each field `x` is read from the environment variable `UNSEEN_X`."""

    model_config = SettingsConfigDict(env_prefix="UNSEEN_", frozen=True)

    library: Path = Field(default_factory=lambda: user_data_path("unseen"), description="library folder")
    cache: Path = Field(
        default_factory=lambda: user_cache_path("unseen"), description="folder for things that can be made again"
    )
    model: str = Field(default="lite", description="bundle: a name, or a folder that holds bundle.json")
    jobs: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="threads for indexing")
    host: str = Field(default="127.0.0.1", description="address the server listens on")
    port: int = Field(default=8410, ge=1, le=65535, description="port the server listens on")
    roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="folders that may be indexed from the page, beside those indexed before"
    )
    debug: bool = Field(default=False, description="show tracebacks")

    @field_validator("roots", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, with `overrides` that are not None on top; raises UnseenError on a bad value."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UnseenError(
            f"Setting {name} (UNSEEN_{name.upper()}): {first['msg']}", f"Got {first['input']!r}"
        ) from None
