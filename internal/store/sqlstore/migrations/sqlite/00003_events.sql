-- +goose Up

-- The audit log: what happened, in order. AUTOINCREMENT keeps a number from
-- being given out again when the oldest events are removed.
CREATE TABLE events (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    org  TEXT    NOT NULL,
    at   INTEGER NOT NULL,
    body BLOB    NOT NULL
);
