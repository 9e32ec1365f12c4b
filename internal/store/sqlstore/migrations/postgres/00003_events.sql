-- +goose Up

-- The audit log: what happened, in order. Numbers are given out before the
-- commit, so that a smaller one can become visible after a greater one; readers
-- wait for it (events.go).
CREATE TABLE events (
    seq  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org  text COLLATE "C" NOT NULL,
    at   bigint NOT NULL,
    body bytea  NOT NULL
);
