-- +goose Up

-- Here two indexes stay, one that keeps names unique and one that finds rows by them in
-- the order of lists. With one for both, a list by name took twice as long on a database
-- that was not analyzed yet: PostgreSQL walked through all rows of the kind.
SELECT 1;
