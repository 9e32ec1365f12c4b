-- +goose Up

-- How many things of a sort an organization has, or one subject in it. The
-- value is the sum over the slots. Half of each page stays free, so that an
-- update finds a place on the page of the row and no index changes.
CREATE TABLE counters (
    org     text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL,
    slot    bigint NOT NULL,
    value   bigint NOT NULL,
    PRIMARY KEY (org, subject, name, slot)
) WITH (fillfactor = 50);

CREATE INDEX counters_name ON counters (name);

-- The limits of counters that are not the default.
CREATE TABLE limits (
    org   text COLLATE "C" NOT NULL,
    name  text COLLATE "C" NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (org, name)
);
