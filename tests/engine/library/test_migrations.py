import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from engine.errors import LibraryError
from engine.library.database import _alembic_config, head_revision
from engine.library.records import Batch
from engine.library.schema import metadata
from engine.library.store import Store
from tests.engine.library.conftest import photo


@pytest.fixture
def script():
    return ScriptDirectory.from_config(_alembic_config())


def tables(store):
    with sqlite3.connect(store.folder / "library.db") as raw:
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    raw.close()
    return {name for name in names if not name.startswith("sqlite_")}


def test_there_is_one_newest_migration_and_its_name_says_so(script):
    assert script.get_heads() == [head_revision()]


def test_a_new_library_is_at_the_newest_version(store):
    assert store.schema_version() == head_revision()


def test_migrations_make_what_the_tables_in_the_code_say(store):
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_every_migration_can_be_undone_and_done_again(store, script):
    newest_first = [revision.revision for revision in script.walk_revisions()]
    for revision in [*newest_first[1:], "base"]:
        store.migrate(revision)
    assert tables(store) == {"alembic_version"}
    for revision in reversed(newest_first):
        store.migrate(revision)
    assert tables(store) == {*metadata.tables, "alembic_version"}


def test_migrating_a_library_that_is_up_to_date_keeps_everything(store):
    store.apply(Batch(added=[photo()]))
    store.migrate()
    assert store.count() == 1


def test_a_library_of_a_newer_version_is_refused_and_not_touched(store):
    with sqlite3.connect(store.folder / "library.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    for opening in (lambda: Store.open(store.folder), lambda: Store.create(store.folder, "x", "y")):
        with pytest.raises(LibraryError, match=r"newer version of unseen \(schema 9999\)\. Update unseen"):
            opening()
    assert store.schema_version() == "9999"
