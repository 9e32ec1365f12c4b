package sqlstore

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/store"
)

// maxBranches is the greatest number of index ranges that a list merges. With
// more alternatives it walks all rows of the kind instead and tests each: a
// caller who names that many sees a good part of the rows anyway.
const maxBranches = 8

// What lies between is reserved by UTF-16 and no character.
const surrogateMin, surrogateMax = 0xd800, 0xdfff

// listColumns follow bodyColumns where all of a row is asked for.
const (
	bodyColumns = "o.seq, o.body"
	listColumns = ", o.id, o.parent, o.name, o.version, o.created, o.updated"
)

// listPlan says how to find the rows that a query selects. Every row is found
// through an index in the order of seq, so a page costs what its rows cost:
//
//   - without a condition to start from, through the index of the list;
//   - from one value, through the index that holds the rows with it;
//   - from several, by merging the ranges of each in the order of seq.
//
// The other conditions are tests on the rows found. The only sorts left are those of the
// rows named by a list of IDs, which is as short as that list, and on SQLite of the rows
// that have one name, each in another parent.
//
// Two searches find rows out of order: that for a prefix, whose range of the
// index is in the order of values, and that in every organization, which goes
// from one to the next. They collect what they find as numbers out of the index
// alone, and visit the rows in order from there.
type listPlan struct {
	dialect *dialect
	query   store.Query
	// branches are the alternatives that the search starts from.
	branches []store.Condition
	// tests must hold, each by one of its conditions.
	tests [][]store.Condition
	// except must not hold, none of them.
	except []store.Condition

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
	for _, c := range q.Except {
		if c, ok := findable(c); ok {
			p.except = append(p.except, c)
		}
	}
	p.chooseStart()
	return p, true
}

// findable drops the values and prefixes that no row can have and those given
// twice, and reports whether any is left.
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
	c.Prefixes = shortest(c.Prefixes)
	if !storable(c.Contains) {
		c.Contains = ""
	}
	if column(c.Field) != "" {
		c.Prefixes, c.Contains = nil, ""
	}
	return c, len(c.Values)+len(c.Prefixes)+len(c.Contains) > 0
}

// shortest drops the prefixes that are no text and those that begin with
// another one.
func shortest(prefixes []string) []string {
	var kept []string
	for _, p := range slices.Sorted(slices.Values(prefixes)) {
		if storable(p) && (len(kept) == 0 || !strings.HasPrefix(p, kept[len(kept)-1])) {
			kept = append(kept, p)
		}
	}
	return kept
}

// successor is the least text that is greater than all that begin with the
// prefix, or "" if there is none. In UTF-8 the order of bytes is that of
// characters.
func successor(prefix string) string {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch last {
		case utf8.MaxRune:
			continue
		case surrogateMin - 1:
			last = surrogateMax
		}
		return prefix + string(last+1)
	}
	return ""
}

// chooseStart makes branches of the test with the fewest alternatives, which
// is the likeliest to be narrow; one without prefixes comes first. Visible
// comes last in tests and so yields to a condition of equal length.
func (p *listPlan) chooseStart() {
	start, least := -1, 0
	for i, test := range p.tests {
		branches, ok := split(test)
		cost := len(branches)
		if slices.ContainsFunc(branches, hasPrefixes) {
			cost += maxBranches
		}
		if ok && (start < 0 || cost < least) {
			start, least, p.branches = i, cost, branches
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
		case c.Contains != "":
			return nil, false // no index serves
		case c.Field == store.FieldID:
			branches = append(branches, c)
			continue
		case c.Field == store.FieldName || c.Field == store.FieldParent:
			// Their indexes leave out the rows that have none.
			if slices.Contains(c.Values, "") {
				return nil, false
			}
		}
		if len(branches)+len(c.Values)+len(c.Prefixes) > maxBranches {
			return nil, false
		}
		for _, v := range c.Values {
			branches = append(branches, store.Condition{Field: c.Field, Values: []string{v}})
		}
		for _, p := range c.Prefixes {
			branches = append(branches, store.Condition{Field: c.Field, Prefixes: []string{p}})
		}
	}
	return branches, len(branches) <= maxBranches
}

func hasPrefixes(c store.Condition) bool { return len(c.Prefixes) > 0 }

// collects reports whether rows are found out of order.
func (p *listPlan) collects() bool {
	return p.query.Org == "" || slices.ContainsFunc(p.branches, hasPrefixes)
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

	columns := bodyColumns
	if !p.query.BodyOnly {
		columns += listColumns
		if p.query.Org == "" {
			columns += ", o.org"
		}
	}
	if p.collects() {
		p.collect(scope, columns)
		p.write(" ORDER BY o.seq", direction, " LIMIT ", limit)
		return p.sql.String(), p.args
	}
	p.write("SELECT ", columns)
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
	if p.collects() {
		p.collect(scope, "count(*)")
		return p.sql.String(), p.args
	}
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

// orgsSQL goes from one organization with live rows to the next through the
// index of the list, a step for each. The last one found is NULL.
func (p *listPlan) orgsSQL() string {
	from := " FROM objects l" + p.dialect.useIndex("objects_list") + " WHERE l.deleted IS NULL"
	return "WITH RECURSIVE orgs (org) AS (SELECT min(l.org)" + from +
		" UNION ALL SELECT (SELECT min(l.org)" + from + " AND l.org > orgs.org) FROM orgs WHERE orgs.org IS NOT NULL) "
}

// collect selects the columns of the rows that any branch finds and that pass
// all tests.
func (p *listPlan) collect(s scope, columns string) {
	if p.query.Org == "" {
		p.write(p.orgsSQL())
	}
	p.write("SELECT ", columns, " FROM objects o WHERE o.seq IN (")
	branches := []*store.Condition{nil}
	if len(p.branches) > 0 {
		branches = branches[:0]
		for i := range p.branches {
			branches = append(branches, &p.branches[i])
		}
	}
	for i, branch := range branches {
		if i > 0 {
			p.write(" UNION ALL ")
		}
		p.write("SELECT ", p.seq(branch))
		p.search(branch, s, false)
	}
	p.write(")")
	p.writeTests()
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

// scope holds what every branch shares: what to take before a table and to
// compare with its org, the kind's parameter, and "" or the comparison that the
// seq must pass.
type scope struct{ from, org, kind, after string }

func (p *listPlan) scope() scope {
	if p.query.Org == "" {
		return scope{from: "orgs CROSS JOIN ", org: "orgs.org", kind: p.arg(p.query.Kind)}
	}
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
	p.search(start, s, true)
	p.writeTests()
}

// search writes FROM and WHERE for the rows that hold start. With rows the
// table of rows is there as o; else only what p.seq names need be.
func (p *listPlan) search(start *store.Condition, s scope, rows bool) {
	if start != nil && column(start.Field) == "" {
		p.write(" FROM ", s.from, "entries e", p.dialect.useIndex("entries_value"))
		if rows {
			// SQLite keeps the order of tables in a CROSS JOIN.
			p.write(" CROSS JOIN objects o")
		}
		p.write(" WHERE e.org = ", s.org, " AND e.kind = ", s.kind, " AND e.field = ", p.arg(start.Field))
		if hasPrefixes(*start) {
			p.between("e.value", start.Prefixes[0])
		} else {
			p.write(" AND ", p.equals("e.value", start.Values))
		}
		if rows {
			p.write(" AND o.seq = e.seq")
		}
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
		p.write(" FROM ", s.from, "objects o", p.dialect.useIndex(index), " WHERE o.org = ", s.org, " AND o.kind = ", s.kind,
			" AND o.deleted IS NULL", condition)
	}
	if s.after != "" {
		p.write(" AND ", p.seq(start), s.after)
	}
}

// between restricts the column to the range of values with the prefix.
func (p *listPlan) between(column, prefix string) {
	p.write(" AND ", column, " >= ", p.arg(prefix))
	if end := successor(prefix); end != "" {
		p.write(" AND ", column, " < ", p.arg(end))
	}
}

func (p *listPlan) writeTests() {
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
	for _, c := range p.except {
		p.write(" AND NOT (")
		p.test(c)
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
	p.write("EXISTS (SELECT 1 FROM entries x WHERE x.seq = o.seq AND x.field = ", p.arg(c.Field), " AND (")
	var alternatives []string
	if len(c.Values) > 0 {
		alternatives = append(alternatives, p.equals("x.value", c.Values))
	}
	if len(c.Prefixes) > 0 {
		alternatives = append(alternatives, p.dialect.prefixOf("x.value", p.arg(p.dialect.list(c.Prefixes))))
	}
	if c.Contains != "" {
		alternatives = append(alternatives, p.dialect.contains("x.value", p.arg(c.Contains)))
	}
	p.write(strings.Join(alternatives, " OR "), ") LIMIT 1 OFFSET 0)")
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
