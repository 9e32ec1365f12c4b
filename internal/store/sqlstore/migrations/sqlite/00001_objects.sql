-- +goose Up

-- One row for every object that ever was. A deleted row keeps its ID and
-- nothing else of its content, so that no ID is given out twice.
-- The wide columns stand last: a read of the narrow ones never touches the
-- pages that a long document overflows into.
CREATE TABLE objects (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    org     TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    parent  TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    deleted INTEGER,
    body    BLOB    NOT NULL,
    private BLOB    NOT NULL
);

CREATE UNIQUE INDEX objects_id ON objects (kind, id);
CREATE UNIQUE INDEX objects_unique_name ON objects (org, kind, parent, name) WHERE deleted IS NULL AND name <> '';
CREATE INDEX objects_list ON objects (org, kind, seq) WHERE deleted IS NULL;
CREATE INDEX objects_parent ON objects (org, kind, parent, seq) WHERE deleted IS NULL AND parent <> '';
CREATE INDEX objects_name ON objects (org, kind, name, seq) WHERE deleted IS NULL AND name <> '';

-- The index entries of the live rows.
CREATE TABLE entries (
    seq    INTEGER NOT NULL REFERENCES objects (seq),
    field  TEXT    NOT NULL,
    value  TEXT    NOT NULL,
    target TEXT    NOT NULL,
    org    TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    PRIMARY KEY (seq, field, value, target)
) WITHOUT ROWID;

CREATE INDEX entries_value ON entries (org, kind, field, value, seq);
CREATE INDEX entries_target ON entries (target, value, seq, field) WHERE target <> '';

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
