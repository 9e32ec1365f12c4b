package sqlstore

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/weirhq/weir/internal/store"
)

// maxBranches is the greatest number of index ranges that a list merges. With
// more alternatives it walks all rows of the kind instead and tests each: a
// caller who names that many sees a good part of the rows anyway.
const maxBranches = 8

const listColumns = "o.id, o.parent, o.name, o.seq, o.version, o.created, o.updated, o.body"

// listPlan says how to find the rows that a query selects. Every row is found
// through an index in the order of seq, so a page costs what its rows cost:
//
//   - without a condition to start from, through the index of the list;
//   - from one value, through the index that holds the rows with it;
//   - from several, by merging the ranges of each in the order of seq.
//
// The other conditions are tests on the rows found. The only sort left is that
// of the rows named by a list of IDs, which is as short as that list.
type listPlan struct {
	dialect *dialect
	query   store.Query
	// branches are the alternatives that the search starts from.
	branches []store.Condition
	// tests must hold, each by one of its conditions.
	tests [][]store.Condition

	sql  strings.Builder
	args []any
}

// plan returns false when the query selects nothing.
func plan(d *dialect, q store.Query) (*listPlan, bool) {
	if !storable(q.Org) || !storable(q.Kind) {
		return nil, false
	}
	p := &listPlan{dialect: d, query: q}
	for _, c := range q.Where {
		c, ok := findable(c)
		if !ok {
			return nil, false
		}
		p.tests = append(p.tests, []store.Condition{c})
	}
	if q.Visible != nil {
		var visible []store.Condition
		for _, c := range q.Visible {
			if c, ok := findable(c); ok {
				visible = append(visible, c)
			}
		}
		if len(visible) == 0 {
			return nil, false
		}
		p.tests = append(p.tests, visible)
	}
	p.chooseStart()
	return p, true
}

// findable drops the values that no row can have and those given twice, and
// reports whether any is left.
func findable(c store.Condition) (store.Condition, bool) {
	if !storable(c.Field) {
		return c, false
	}
	values := make([]string, 0, len(c.Values))
	for _, v := range c.Values {
		if storable(v) && !slices.Contains(values[:min(len(values), maxBranches)], v) {
			values = append(values, v)
		}
	}
	c.Values = values
	return c, len(values) > 0
}

// chooseStart makes branches of the test with the fewest alternatives, which
// is the likeliest to be narrow. Visible comes last in tests and so yields to
// a condition of equal length.
func (p *listPlan) chooseStart() {
	start := -1
	for i, test := range p.tests {
		branches, ok := split(test)
		if ok && (start < 0 || len(branches) < len(p.branches)) {
			start, p.branches = i, branches
		}
	}
	if start >= 0 {
		p.tests = slices.Delete(p.tests, start, start+1)
	}
}

// split returns one condition for each index range that the test covers, and
// false where there are too many or no index serves. IDs are looked up one by
// one, so all of them count as one range.
func split(test []store.Condition) ([]store.Condition, bool) {
	var branches []store.Condition
	for _, c := range test {
		switch {
		case c.Field == store.FieldID:
			branches = append(branches, c)
			continue
		case c.Field == store.FieldName || c.Field == store.FieldParent:
			// Their indexes leave out the rows that have none.
			if slices.Contains(c.Values, "") {
				return nil, false
			}
		}
		if len(branches)+len(c.Values) > maxBranches {
			return nil, false
		}
		for _, v := range c.Values {
			branches = append(branches, store.Condition{Field: c.Field, Values: []string{v}})
		}
	}
	return branches, len(branches) <= maxBranches
}

func (p *listPlan) list() (string, []any) {
	scope := p.scope()
	after, comparison, direction := p.query.After, " > ", ""
	if p.query.Backward {
		comparison, direction = " < ", " DESC"
		if after == 0 {
			after = math.MaxInt64
		}
	}
	scope.after = comparison + p.arg(after)
	// The sum hides the parameter from SQLite's planner, which would prepare
	// the statement anew for every value of it.
	limit := p.arg(int64(p.query.Limit)) + " + 0"

	p.write("SELECT ", listColumns)
	if len(p.branches) < 2 {
		start := p.only()
		p.find(start, scope)
		p.write(" ORDER BY ", p.seq(start), direction, " LIMIT ", limit)
		return p.sql.String(), p.args
	}
	page := " ORDER BY 1" + direction + " LIMIT " + limit
	p.write(" FROM objects o WHERE o.seq IN (")
	p.union(scope, page)
	p.write(page, ") ORDER BY o.seq", direction)
	return p.sql.String(), p.args
}

func (p *listPlan) count() (string, []any) {
	scope := p.scope()
	p.write("SELECT count(*)")
	if len(p.branches) < 2 {
		p.find(p.only(), scope)
		return p.sql.String(), p.args
	}
	p.write(" FROM (")
	p.union(scope, "")
	p.write(") AS found")
	return p.sql.String(), p.args
}

// union selects the seq of each row that any branch finds, once. SQLite merges
// the branches row by row and stops when the page is full; PostgreSQL reads
// them to the end, and so reads a page of each.
func (p *listPlan) union(s scope, page string) {
	limited := page != "" && p.dialect.limitBranches
	for i := range p.branches {
		if i > 0 {
			p.write(" UNION ")
		}
		if limited {
			p.write("(")
		}
		p.write("SELECT ", p.seq(&p.branches[i]))
		p.find(&p.branches[i], s)
		if limited {
			p.write(page, ")")
		}
	}
}

// scope holds the parameters that every branch shares; after is "" or the
// comparison that the seq must pass.
type scope struct{ org, kind, after string }

func (p *listPlan) scope() scope {
	return scope{org: p.arg(p.query.Org), kind: p.arg(p.query.Kind)}
}

// only returns the one branch, or nil where the search starts from nothing.
func (p *listPlan) only() *store.Condition {
	if len(p.branches) == 0 {
		return nil
	}
	return &p.branches[0]
}

// seq is the column that carries the order of what find finds: that of the
// index in use, or else SQLite would sort.
func (p *listPlan) seq(start *store.Condition) string {
	if start != nil && column(start.Field) == "" {
		return "e.seq"
	}
	return "o.seq"
}

// find writes FROM and WHERE for the rows that hold start and pass all tests.
func (p *listPlan) find(start *store.Condition, s scope) {
	if start != nil && column(start.Field) == "" {
		// SQLite keeps the order of tables in a CROSS JOIN.
		p.write(" FROM entries e", p.dialect.useIndex("entries_value"), " CROSS JOIN objects o WHERE e.org = ", s.org,
			" AND e.kind = ", s.kind, " AND e.field = ", p.arg(start.Field), " AND ", p.equals("e.value", start.Values),
			" AND o.seq = e.seq")
	} else {
		index, condition := "objects_list", ""
		if start != nil {
			c := column(start.Field)
			condition = " AND " + p.equals(c, start.Values)
			switch start.Field {
			case store.FieldID:
				index = "objects_id"
			case store.FieldName:
				index = "objects_name"
			case store.FieldParent:
				index = "objects_parent"
			}
			if start.Field != store.FieldID {
				condition += " AND " + c + " <> ''" // what makes the partial index fit
			}
		}
		p.write(" FROM objects o", p.dialect.useIndex(index), " WHERE o.org = ", s.org, " AND o.kind = ", s.kind,
			" AND o.deleted IS NULL", condition)
	}
	if s.after != "" {
		p.write(" AND ", p.seq(start), s.after)
	}
	for _, test := range p.tests {
		p.write(" AND (")
		for i, c := range test {
			if i > 0 {
				p.write(" OR ")
			}
			p.test(c)
		}
		p.write(")")
	}
}

// test writes a condition on a row that was already found. OFFSET keeps
// PostgreSQL from making a join of EXISTS, for which it may read all entries.
func (p *listPlan) test(c store.Condition) {
	if name := column(c.Field); name != "" {
		p.write(p.equals(name, c.Values))
		return
	}
	p.write("EXISTS (SELECT 1 FROM entries x WHERE x.seq = o.seq AND x.field = ", p.arg(c.Field),
		" AND ", p.equals("x.value", c.Values), " LIMIT 1 OFFSET 0)")
}

// equals compares the column with one value or with any of several.
func (p *listPlan) equals(column string, values []string) string {
	if len(values) == 1 {
		return column + " = " + p.arg(values[0])
	}
	return p.dialect.anyOf(column, p.arg(p.dialect.list(values)))
}

// column is the column of objects that holds the field, or "" for a field
// that is held in entries.
func column(field string) string {
	switch field {
	case store.FieldID:
		return "o.id"
	case store.FieldName:
		return "o.name"
	case store.FieldParent:
		return "o.parent"
	}
	return ""
}

func (p *listPlan) write(parts ...string) {
	for _, s := range parts {
		p.sql.WriteString(s)
	}
}

// arg adds a parameter and returns its placeholder.
func (p *listPlan) arg(v any) string {
	p.args = append(p.args, v)
	return "$" + strconv.Itoa(len(p.args))
}
