-- +goose Up

-- How many things of a sort an organization has, or one subject in it.
CREATE TABLE counters (
    org     TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    slot    INTEGER NOT NULL,
    value   INTEGER NOT NULL,
    PRIMARY KEY (org, subject, name, slot)
) WITHOUT ROWID;

CREATE INDEX counters_name ON counters (name);

-- The limits of counters that are not the default.
CREATE TABLE limits (
    org   TEXT    NOT NULL,
    name  TEXT    NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (org, name)
) WITHOUT ROWID;
