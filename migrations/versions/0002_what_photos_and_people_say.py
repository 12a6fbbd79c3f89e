"""What photos say of themselves, files that belong to a photo, what people say of hits, and keys to the server."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PHOTO_COLUMNS = (
    ("taken_offset", sa.Integer()),
    ("taken_from", sa.String()),
    ("lens", sa.String()),
    ("latitude", sa.Float()),
    ("longitude", sa.Float()),
    ("rating", sa.Integer()),
    ("warning", sa.String()),
    ("missing_since", sa.DateTime()),
)


def upgrade() -> None:
    for name, kind in PHOTO_COLUMNS:
        op.add_column("photos", sa.Column(name, kind))
    op.create_index("ix_photos_camera", "photos", ["camera"])
    op.create_table(
        "keywords",
        sa.Column("photo_id", BIG_ID, nullable=False),
        sa.Column("keyword", sa.String(), nullable=False),
        sa.Column("folded", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("photo_id", "keyword", name="pk_keywords"),
        sa.ForeignKeyConstraint(["photo_id"], ["photos.id"], name="fk_keywords_photo_id_photos", ondelete="CASCADE"),
    )
    op.create_index("ix_keywords_folded", "keywords", ["folded"])
    op.create_table(
        "companions",
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("photo_id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_companions"),
        sa.ForeignKeyConstraint(["photo_id"], ["photos.id"], name="fk_companions_photo_id_photos", ondelete="CASCADE"),
    )
    op.create_index("ix_companions_photo_id", "companions", ["photo_id"])
    op.create_table(
        "feedback",
        sa.Column("id", BIG_ID, autoincrement=True, nullable=False),
        sa.Column("query", sa.String(), nullable=False),
        sa.Column("photo_id", BIG_ID, nullable=False),
        sa.Column("relevant", sa.Boolean(), nullable=False),
        sa.Column("given_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
        sa.ForeignKeyConstraint(["photo_id"], ["photos.id"], name="fk_feedback_photo_id_photos", ondelete="CASCADE"),
        sa.UniqueConstraint("query", "photo_id", name="uq_feedback_query"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("last_used_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("name", name="uq_tokens_name"),
    )


def downgrade() -> None:
    for table in ("tokens", "feedback", "companions", "keywords"):
        op.drop_table(table)
    op.drop_index("ix_photos_camera", "photos")
    for name, _ in reversed(PHOTO_COLUMNS):
        op.drop_column("photos", name)
