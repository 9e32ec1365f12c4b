package sqlstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
)

func condition(field string, n int) store.Condition {
	c := store.Condition{Field: field}
	for i := range n {
		c.Values = append(c.Values, fmt.Sprint(field, i))
	}
	return c
}

// planCase is a query with the index that must find its rows on SQLite.
type planCase struct {
	name    string
	where   []store.Condition
	visible []store.Condition
	index   string
	// sorts marks the lists that may sort: those of named IDs and of names.
	sorts bool
	// everywhere marks the lists of every organization.
	everywhere bool
}

// planCases are queries of every shape.
var planCases = []planCase{
	{name: "all", index: "objects_list (org=? AND kind=? AND seq"},
	{name: "id", where: []store.Condition{condition(store.FieldID, 1)}, index: "objects_id (kind=? AND id=? AND rowid", sorts: true},
	{name: "ids", where: []store.Condition{condition(store.FieldID, 100)}, index: "objects_id (kind=? AND id=? AND rowid", sorts: true},
	{name: "name", where: []store.Condition{condition(store.FieldName, 1)}, index: "objects_name (org=? AND kind=? AND name=?)", sorts: true},
	{name: "name in a parent", where: []store.Condition{condition(store.FieldName, 1), condition(store.FieldParent, 1)},
		index: "objects_name (org=? AND kind=? AND name=? AND parent=?", sorts: true},
	{name: "names", where: []store.Condition{condition(store.FieldName, 3)}, index: "objects_name (org=? AND kind=? AND name=?)", sorts: true},
	{name: "many names", where: []store.Condition{condition(store.FieldName, 50)}, index: "objects_list (org=? AND kind=? AND seq"},
	{name: "parent", where: []store.Condition{condition(store.FieldParent, 1)}, index: "objects_parent (org=? AND kind=? AND parent=? AND seq"},
	{name: "parents", where: []store.Condition{condition(store.FieldParent, 8)}, index: "objects_parent (org=? AND kind=? AND parent=? AND seq"},
	{name: "many parents", where: []store.Condition{condition(store.FieldParent, 9)}, index: "objects_list (org=? AND kind=? AND seq"},
	{name: "no parent", where: []store.Condition{{Field: store.FieldParent, Values: []string{""}}}, index: "objects_list (org=? AND kind=? AND seq"},
	{name: "entry", where: []store.Condition{condition("f", 1)}, index: "entries_value (org=? AND kind=? AND field=? AND value=? AND seq"},
	{name: "entry of several values", where: []store.Condition{condition("f", 4)}, index: "entries_value (org=? AND kind=? AND field=? AND value=? AND seq"},
	{name: "entry of many values", where: []store.Condition{condition("f", 40)}, index: "objects_list (org=? AND kind=? AND seq"},
	{name: "the fewest values lead", where: []store.Condition{condition(store.FieldParent, 2), condition("f", 1), condition("g", 40)},
		index: "entries_value (org=? AND kind=? AND field=? AND value=? AND seq"},
	{name: "entry and parent", where: []store.Condition{condition(store.FieldParent, 1), condition("f", 1)},
		index: "objects_parent (org=? AND kind=? AND parent=? AND seq"},
	{name: "visible parents", visible: []store.Condition{condition(store.FieldParent, 3)}, index: "objects_parent (org=? AND kind=? AND parent=? AND seq"},
	{name: "visible parent or id", visible: []store.Condition{condition(store.FieldParent, 1), condition(store.FieldID, 20)},
		index: "objects_parent (org=? AND kind=? AND parent=? AND seq", sorts: true},
	{name: "visible by many", visible: []store.Condition{condition(store.FieldParent, 5), condition("f", 5)},
		index: "objects_list (org=? AND kind=? AND seq"},
	{name: "where and visible", where: []store.Condition{condition("f", 1)},
		visible: []store.Condition{condition(store.FieldParent, 2), condition("g", 3), condition(store.FieldID, 4)},
		index:   "entries_value (org=? AND kind=? AND field=? AND value=? AND seq"},
	{name: "visible leads", where: []store.Condition{condition("f", 50)}, visible: []store.Condition{condition(store.FieldParent, 2)},
		index: "objects_parent (org=? AND kind=? AND parent=? AND seq"},

	{name: "prefix", where: []store.Condition{{Field: "f", Prefixes: []string{"f1"}}}, index: prefixIndex},
	{name: "prefixes", where: []store.Condition{{Field: "f", Prefixes: []string{"f1", "f2", "g"}}}, index: prefixIndex},
	{name: "prefix without end", where: []store.Condition{{Field: "f", Prefixes: []string{""}}},
		index: "entries_value (org=? AND kind=? AND field=? AND value>?"},
	{name: "prefix or value", where: []store.Condition{{Field: "f", Prefixes: []string{"f1"}, Values: []string{"f2"}}}, index: prefixIndex},
	{name: "visible prefix", visible: []store.Condition{{Field: "f", Prefixes: []string{"f1"}}, condition(store.FieldParent, 2), condition(store.FieldID, 20)},
		index: prefixIndex},
	{name: "values lead before a prefix", where: []store.Condition{{Field: "f", Prefixes: []string{"f1"}}, condition("g", 3)},
		index: "entries_value (org=? AND kind=? AND field=? AND value=? AND seq"},
	{name: "many prefixes", where: []store.Condition{{Field: "f", Prefixes: condition("f", 30).Values}}, index: "objects_list (org=? AND kind=? AND seq"},

	{name: "contained", where: []store.Condition{{Field: "f", Contains: "1"}}, index: "objects_list (org=? AND kind=? AND seq"},
	{name: "a value leads before what is contained", where: []store.Condition{{Field: "f", Contains: "1"}, condition("g", 1)},
		index: "entries_value (org=? AND kind=? AND field=? AND value=? AND seq"},

	{name: "everywhere: many", everywhere: true, index: "objects_list (org=? AND kind=? AND seq"},
	{name: "everywhere: value", everywhere: true, where: []store.Condition{condition("f", 1)},
		index: "entries_value (org=? AND kind=? AND field=? AND value=? AND seq"},
	{name: "everywhere: values", everywhere: true, where: []store.Condition{condition("f", 3)}, visible: []store.Condition{condition("g", 7)},
		index: "entries_value (org=? AND kind=? AND field=? AND value=? AND seq"},
	{name: "everywhere: prefix", everywhere: true, where: []store.Condition{{Field: "f", Prefixes: []string{"f1"}}}, index: prefixIndex},
	{name: "everywhere: id", everywhere: true, where: []store.Condition{condition(store.FieldID, 1)}, index: "objects_id (kind=? AND id=? AND rowid"},
	{name: "everywhere: parent", everywhere: true, where: []store.Condition{condition(store.FieldParent, 1)},
		index: "objects_parent (org=? AND kind=? AND parent=? AND seq"},
}

const prefixIndex = "entries_value (org=? AND kind=? AND field=? AND value>? AND value<?)"

// query returns the case's query in the organization "org" or everywhere.
func (c planCase) query() store.Query {
	q := store.Query{Org: "org", Kind: "kind", Where: c.where, Visible: c.visible, Limit: 10}
	if c.everywhere {
		q.Org = ""
	}
	return q
}

// explain returns SQLite's plan, a step a line.
func explain(t *testing.T, s store.Store, sql string, args []any) []string {
	t.Helper()
	var steps []string
	err := sqliteOf(s).read(t.Context(), func(c conn) error {
		return c.query(t.Context(), "EXPLAIN QUERY PLAN "+sql, args, func(scan func(...any) error) error {
			var id, parent, unused int64
			var step string
			err := scan(&id, &parent, &unused, &step)
			steps = append(steps, step)
			return err
		})
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return steps
}

// checkPlan fails for a step that reads a whole table or index, or sorts.
func checkPlan(t *testing.T, steps []string, sorts bool) {
	t.Helper()
	plan := strings.Join(steps, "\n")
	for _, step := range steps {
		switch {
		case strings.HasPrefix(step, "SCAN json_each"), strings.HasPrefix(step, "SCAN prefix VIRTUAL"): // the values of the query
		case strings.HasPrefix(step, "SCAN found"): // the rows counted
		case strings.HasPrefix(step, "SCAN orgs"): // one organization after the other
		case strings.HasPrefix(step, "SCAN"):
			t.Errorf("full scan:\n%s", plan)
		case strings.Contains(step, "TEMP B-TREE") && !sorts:
			t.Errorf("sort:\n%s", plan)
		case strings.Contains(step, "AUTOMATIC"):
			t.Errorf("index made on the fly:\n%s", plan)
		}
	}
}

func TestListsUseIndexes(t *testing.T) {
	t.Parallel()
	s := openSQLite(t, t.TempDir(), Options{})
	// What the planner knows must not matter: once without statistics, once
	// with those of a table that has rows.
	for _, statistics := range []bool{false, true} {
		if statistics {
			for i := range 500 {
				r := testRow(fmt.Sprint(i))
				r.Name, r.Parent = fmt.Sprint("name", i), fmt.Sprint("parent", i%3)
				if err := insert(t.Context(), s, r, store.Entry{Field: "f", Value: fmt.Sprint("f", i%5), Target: "t"},
					store.Entry{Field: "g", Value: fmt.Sprint("g", i%50)}); err != nil {
					t.Fatal(err)
				}
			}
			onWriter(t, s, "ANALYZE")
			s = openSQLite(t, strings.TrimSuffix(sqliteOf(s).path, FileName), Options{})
		}
		for _, c := range planCases {
			for _, backward := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/backward=%v/statistics=%v", c.name, backward, statistics), func(t *testing.T) {
					q := c.query()
					q.Backward = backward
					p, _ := plan(&sqliteDialect, q)
					sql, args := p.list()
					steps := explain(t, s, sql, args)
					checkPlan(t, steps, c.sorts)
					if !strings.Contains(strings.Join(steps, "\n"), c.index) {
						t.Errorf("%s\ndoes not use %s:\n%s", sql, c.index, strings.Join(steps, "\n"))
					}
					p, _ = plan(&sqliteDialect, q)
					sql, args = p.count()
					checkPlan(t, explain(t, s, sql, args), c.sorts)
				})
			}
		}
		for name, sql := range map[string]string{"get": getSQL, "referrers": referrersSQL, "setting": settingSQL,
			"ID taken": idTakenSQL, "name taken": nameTakenSQL, "live": liveSQL, "update": updateSQL, "delete entries": deleteEntriesSQL} {
			t.Run(name, func(t *testing.T) { checkPlan(t, explain(t, s, sql, nil), false) })
		}
		for _, sql := range []string{getSQL, getAnywhereSQL} {
			if steps := explain(t, s, sql, nil); !strings.Contains(steps[0], "objects_id (kind=? AND id=?)") {
				t.Errorf("a row is not found by its key: %s", steps)
			}
		}
	}
}

// TestPostgresListsUseIndexes checks the plans of a filled database.
func TestPostgresListsUseIndexes(t *testing.T) {
	t.Parallel()
	s := openPostgres(t, pgtest.URL(t), Options{})
	b := s.(*db).backend.(*postgresBackend)
	for _, sql := range []string{
		`INSERT INTO objects (org, kind, id, parent, name, version, created, updated, body, private)
			SELECT 'org', 'kind', 'id' || i, 'parent' || i % 40, 'name' || i, 1, 0, 0, convert_to(repeat('x', 300), 'UTF8'), ''
			FROM generate_series(1, 20000) AS i`,
		`INSERT INTO entries (seq, org, kind, field, value, target)
			SELECT seq, org, kind, 'f', 'f' || seq % 50, '' FROM objects`,
		`INSERT INTO entries (seq, org, kind, field, value, target)
			SELECT seq, org, kind, 'g', 'g' || seq % 50, '' FROM objects`,
		`ANALYZE`,
	} {
		if sql == `ANALYZE` { // without statistics the choice is the worst
			for sql, args := range map[string][]any{getSQL: {"kind", "id7", "org"}, getAnywhereSQL: {"kind", "id7"}} {
				if text := explainPostgres(t, b, sql, args); !strings.Contains(text, "objects_id") {
					t.Errorf("a row is not found by its key:\n%s", text)
				}
			}
		}
		if _, err := b.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range planCases {
		if strings.Contains(c.name, "many") || strings.HasPrefix(c.name, "no ") {
			continue // a walk through all rows of the kind is what is asked for
		}
		q := c.query()
		q.After = 10000
		p, _ := plan(&postgresDialect, q)
		sql, args := p.list()
		text := explainPostgres(t, b, sql, args)
		if strings.Contains(text, "Seq Scan") {
			t.Errorf("%s: full scan:\n%s", c.name, text)
		}
		if strings.HasPrefix(c.index, "objects_name") && !strings.Contains(text, "objects_name") {
			t.Errorf("%s: names are not found by their index:\n%s", c.name, text)
		}
	}
}

// explainPostgres returns PostgreSQL's plan as text.
func explainPostgres(t *testing.T, b *postgresBackend, sql string, args []any) string {
	t.Helper()
	var lines []string
	err := postgresConn{q: b.pool}.query(t.Context(), "EXPLAIN "+sql, args, func(scan func(...any) error) error {
		var line string
		err := scan(&line)
		lines = append(lines, line)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(lines, "\n")
}

func TestPlanSelectsNothing(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]store.Query{
		"no values":         {Where: []store.Condition{{Field: "f"}}},
		"unstorable value":  {Where: []store.Condition{{Field: "f", Values: []string{"\x00"}}}},
		"nothing visible":   {Visible: []store.Condition{}},
		"visible no values": {Visible: []store.Condition{{Field: "f"}}},
		"unstorable kind":   {Kind: "\xff"},
		"prefix of an ID":   {Where: []store.Condition{{Field: store.FieldID, Prefixes: []string{""}}}},
		"part of an ID":     {Where: []store.Condition{{Field: store.FieldID, Contains: "a"}}},
		"unstorable part":   {Where: []store.Condition{{Field: "f", Contains: "\xc3"}}},
		"unstorable prefix": {Where: []store.Condition{{Field: "f", Prefixes: []string{"a\xc3", "\x00"}}}},
	} {
		if _, ok := plan(&sqliteDialect, q); ok {
			t.Errorf("%s: a statement is made", name)
		}
	}
}

func TestSuccessor(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"":                      "",
		"a":                     "b",
		"crn://x/":              "crn://x0",
		"a\x7f":                 "a\u0080",
		"aÿ":                    "aĀ",
		"a\u07ff":               "a\u0800",
		"a\ud7ff":               "a\ue000", // what UTF-16 reserves is left out
		"a\uffff":               "a\U00010000",
		"a\U0010ffff":           "b",
		"a\U0010ffff\U0010ffff": "b",
		"\U0010ffff\U0010ffff":  "",
		"\ud7ff\U0010ffff":      "\ue000",
	} {
		if got := successor(prefix); got != want {
			t.Errorf("successor of %+q is %+q, want %+q", prefix, got, want)
		}
	}
}

func FuzzSuccessor(f *testing.F) {
	f.Add("a", "ab")
	f.Add("\ud7ff", "\ue000")
	f.Add("\U0010ffff", "\U0010ffff\U0010ffff")
	f.Fuzz(func(t *testing.T, prefix, s string) {
		if !storable(prefix) || !storable(s) {
			return
		}
		end := successor(prefix)
		if !storable(end) {
			t.Errorf("the successor %+q of %+q cannot be a parameter", end, prefix)
		}
		if inRange := s >= prefix && (end == "" || s < end); inRange != strings.HasPrefix(s, prefix) {
			t.Errorf("%+q with the prefix %+q: in the range to %+q is %v", s, prefix, end, inRange)
		}
	})
}

func TestShortest(t *testing.T) {
	t.Parallel()
	got := shortest([]string{"b", "ab", "a", "abc", "b", "\xff", "c\x00", "ü"})
	if want := []string{"a", "b", "ü"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
