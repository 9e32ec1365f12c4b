-- +goose Up

-- One row for every object that ever was. A deleted row keeps its ID and
-- nothing else of its content, so that no ID is given out twice.
-- Texts compare byte for byte, as they do on SQLite.
CREATE TABLE objects (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org     text COLLATE "C" NOT NULL,
    kind    text COLLATE "C" NOT NULL,
    id      text COLLATE "C" NOT NULL,
    parent  text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    created bigint NOT NULL,
    updated bigint NOT NULL,
    deleted bigint,
    body    bytea  NOT NULL,
    private bytea  NOT NULL
);

CREATE UNIQUE INDEX objects_id ON objects (kind, id);
CREATE UNIQUE INDEX objects_unique_name ON objects (org, kind, parent, name) WHERE deleted IS NULL AND name <> '';
CREATE INDEX objects_list ON objects (org, kind, seq) WHERE deleted IS NULL;
CREATE INDEX objects_parent ON objects (org, kind, parent, seq) WHERE deleted IS NULL AND parent <> '';
CREATE INDEX objects_name ON objects (org, kind, name, seq) WHERE deleted IS NULL AND name <> '';

-- The index entries of the live rows. No foreign key leads to objects: both
-- tables are always written in one transaction, and its checks would take
-- locks on rows that this transaction has written anyway.
CREATE TABLE entries (
    seq    bigint NOT NULL,
    field  text COLLATE "C" NOT NULL,
    value  text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    org    text COLLATE "C" NOT NULL,
    kind   text COLLATE "C" NOT NULL,
    PRIMARY KEY (seq, field, value, target)
);

CREATE INDEX entries_value ON entries (org, kind, field, value, seq);
CREATE INDEX entries_target ON entries (target, value, seq, field) WHERE target <> '';

CREATE TABLE settings (
    name  text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);
