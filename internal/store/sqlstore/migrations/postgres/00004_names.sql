-- +goose Up

-- One index keeps names unique and finds rows by them, where there were two: each one
-- costs every insert a page. Things of one kind with one name are as many as the parents
-- that have one, so that a list sorts them. Writes wait while it is made, reads only
-- while the others go.
CREATE UNIQUE INDEX objects_names ON objects (org, kind, name, parent) WHERE deleted IS NULL AND name <> '';
DROP INDEX objects_unique_name;
DROP INDEX objects_name;
ALTER INDEX objects_names RENAME TO objects_name;
