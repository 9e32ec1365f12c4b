-- +goose Up

-- One index keeps names unique and finds rows by them, where there were two: each one
-- costs every insert a page. Things of one kind with one name are as many as the parents
-- that have one, so that a list sorts them; PostgreSQL keeps two. The name stays that of
-- the index that statements of an older program name.
DROP INDEX objects_unique_name;
DROP INDEX objects_name;
CREATE UNIQUE INDEX objects_name ON objects (org, kind, name, parent) WHERE deleted IS NULL AND name <> '';
