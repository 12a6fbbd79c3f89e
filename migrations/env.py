"""Runs migrations on the connection it is handed, or on the library that the settings name."""

from alembic import context
from sqlalchemy import Connection, create_engine

from engine.library.database import DATABASE
from engine.library.schema import metadata
from engine.settings import load_settings


def run(connection: Connection) -> None:
    """Migrate through `connection`; SQLite tables are altered by copying."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


handed: Connection | None = context.config.attributes.get("connection")
if handed is not None:
    run(handed)
else:
    with create_engine(f"sqlite:///{load_settings().library / DATABASE}").connect() as own:
        run(own)
        own.commit()
