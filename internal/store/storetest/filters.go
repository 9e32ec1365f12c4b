package storetest

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weirhq/weir/internal/store"
)

func where(field string, values ...string) store.Condition {
	return store.Condition{Field: field, Values: values}
}

func begins(field string, prefixes ...string) store.Condition {
	return store.Condition{Field: field, Prefixes: prefixes}
}

func contains(field, part string) store.Condition {
	return store.Condition{Field: field, Contains: part}
}

// shelf stores 12 rows: a-000 … a-011, with the parents env-0, env-1 and none
// in turn, the names n-000 …, the owners u-0 … u-3 in turn, and the tags
// "even" and "small" where they apply.
func (b *bench) shelf() {
	b.Helper()
	for i, id := range ids("a", 12) {
		r := b.row(id, ids("n", 12)[i])
		if i%3 < 2 {
			r.Parent = fmt.Sprintf("env-%d", i%3)
		}
		entries := []store.Entry{{Field: "spec.owner", Value: fmt.Sprintf("u-%d", i%4), Target: "User"}}
		if i%2 == 0 {
			entries = append(entries, store.Entry{Field: "tag", Value: "even"})
		}
		if i < 6 {
			entries = append(entries, store.Entry{Field: "tag", Value: "small"})
		}
		b.mustInsert(r, entries...)
	}
}

// filterCases are queries on the shelf with the numbers of the rows that they
// select.
var filterCases = []struct {
	name           string
	where, visible []store.Condition
	except         []store.Condition
	want           []int
}{
	{name: "all", want: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	{name: "id", where: []store.Condition{where(store.FieldID, "a-003")}, want: []int{3}},
	{name: "ids", where: []store.Condition{where(store.FieldID, "a-009", "a-003", "x", "a-003", "a-006")}, want: []int{3, 6, 9}},
	{name: "name", where: []store.Condition{where(store.FieldName, "n-004")}, want: []int{4}},
	{name: "names", where: []store.Condition{where(store.FieldName, "n-004", "n-001", "N-002")}, want: []int{1, 4}},
	{name: "parent", where: []store.Condition{where(store.FieldParent, "env-1")}, want: []int{1, 4, 7, 10}},
	{name: "parents", where: []store.Condition{where(store.FieldParent, "env-1", "env-0")}, want: []int{0, 1, 3, 4, 6, 7, 9, 10}},
	{name: "no parent", where: []store.Condition{where(store.FieldParent, "")}, want: []int{2, 5, 8, 11}},
	{name: "a parent or none", where: []store.Condition{where(store.FieldParent, "", "env-0")}, want: []int{0, 2, 3, 5, 6, 8, 9, 11}},
	{name: "no name", where: []store.Condition{where(store.FieldName, "")}},
	{name: "entry", where: []store.Condition{where("spec.owner", "u-2")}, want: []int{2, 6, 10}},
	{name: "entry by several values", where: []store.Condition{where("spec.owner", "u-2", "u-0", "u-9", "u-2")}, want: []int{0, 2, 4, 6, 8, 10}},
	{name: "a row with two values comes once", where: []store.Condition{where("tag", "even", "small")}, want: []int{0, 1, 2, 3, 4, 5, 6, 8, 10}},
	{name: "two entries", where: []store.Condition{where("tag", "even"), where("tag", "small")}, want: []int{0, 2, 4}},
	{name: "value of another field", where: []store.Condition{where("spec.owner", "even")}},
	{name: "no values", where: []store.Condition{where("tag")}},
	{name: "no values beside values", where: []store.Condition{where("tag", "even"), where(store.FieldID)}},
	{name: "all kinds of conditions", where: []store.Condition{where("tag", "small"), where("spec.owner", "u-0", "u-1"),
		where(store.FieldParent, "env-0", "env-1"), where(store.FieldName, "n-000", "n-001", "n-002", "n-004"),
		where(store.FieldID, "a-000", "a-001", "a-005")}, want: []int{0, 1}},
	{name: "contradiction", where: []store.Condition{where(store.FieldID, "a-001"), where("tag", "even")}},

	{name: "except nothing", except: []store.Condition{where("tag"), where(store.FieldID)}, want: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	{name: "except ids", except: []store.Condition{where(store.FieldID, "a-003", "a-009", "x")}, want: []int{0, 1, 2, 4, 5, 6, 7, 8, 10, 11}},
	{name: "except parents", except: []store.Condition{where(store.FieldParent, "env-0", "env-1")}, want: []int{2, 5, 8, 11}},
	{name: "except an entry", except: []store.Condition{where("tag", "even", "small")}, want: []int{7, 9, 11}},
	{name: "except entries that begin", except: []store.Condition{begins("tag", "ev")}, want: []int{1, 3, 5, 7, 9, 11}},
	{name: "except several", except: []store.Condition{where("tag", "even"), where("spec.owner", "u-1")}, want: []int{3, 7, 11}},
	{name: "where and except", where: []store.Condition{where("spec.owner", "u-0", "u-1")}, except: []store.Condition{where("tag", "small")}, want: []int{8, 9}},
	{name: "visible and except", visible: []store.Condition{where(store.FieldParent, "env-1"), where("tag", "small")},
		except: []store.Condition{where(store.FieldParent, "env-1"), where("spec.owner", "u-2")}, want: []int{0, 3, 5}},
	{name: "one entry and except", where: []store.Condition{where("tag", "small")}, except: []store.Condition{where("tag", "even")}, want: []int{1, 3, 5}},

	{name: "nothing visible", visible: []store.Condition{}},
	{name: "visible without values", visible: []store.Condition{where(store.FieldID), where("tag")}},
	{name: "visible by id", visible: []store.Condition{where(store.FieldID, "a-007", "a-002")}, want: []int{2, 7}},
	{name: "visible by either", visible: []store.Condition{where(store.FieldParent, "env-1"), where(store.FieldID, "a-000", "a-004")},
		want: []int{0, 1, 4, 7, 10}},
	{name: "visible by any", visible: []store.Condition{where(store.FieldParent, "env-1"), where("tag", "small"),
		where(store.FieldName, "n-011"), where(store.FieldID, "a-008")}, want: []int{0, 1, 2, 3, 4, 5, 7, 8, 10, 11}},
	{name: "visible without parent", visible: []store.Condition{where(store.FieldParent, ""), where(store.FieldID, "a-000")}, want: []int{0, 2, 5, 8, 11}},
	{name: "where and visible", where: []store.Condition{where("tag", "even")},
		visible: []store.Condition{where(store.FieldParent, "env-0"), where("spec.owner", "u-2")}, want: []int{0, 2, 6, 10}},
	{name: "where and visible of several", where: []store.Condition{where("spec.owner", "u-0", "u-1")},
		visible: []store.Condition{where(store.FieldID, "a-001", "a-002", "a-004", "a-011")}, want: []int{1, 4}},
	{name: "where outside of visible", where: []store.Condition{where(store.FieldID, "a-001")},
		visible: []store.Condition{where(store.FieldParent, "env-0")}},

	{name: "prefix of all", where: []store.Condition{begins("spec.owner", "u-")}, want: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	{name: "prefix that is a value", where: []store.Condition{begins("spec.owner", "u-2")}, want: []int{2, 6, 10}},
	{name: "prefix longer than the values", where: []store.Condition{begins("spec.owner", "u-22")}},
	{name: "prefix in another case", where: []store.Condition{begins("tag", "EV")}},
	{name: "prefix with signs of patterns", where: []store.Condition{begins("tag", "e%", "e_", "*", "e\\")}},
	{name: "empty prefix", where: []store.Condition{begins("tag", "")}, want: []int{0, 1, 2, 3, 4, 5, 6, 8, 10}},
	{name: "prefixes", where: []store.Condition{begins("spec.owner", "u-3", "u-1", "x")}, want: []int{1, 3, 5, 7, 9, 11}},
	{name: "a row with several prefixes comes once", where: []store.Condition{begins("tag", "s", "ev", "eve", "e")},
		want: []int{0, 1, 2, 3, 4, 5, 6, 8, 10}},
	{name: "prefix or value", where: []store.Condition{{Field: "tag", Values: []string{"even"}, Prefixes: []string{"sm"}}},
		want: []int{0, 1, 2, 3, 4, 5, 6, 8, 10}},
	{name: "prefix and value", where: []store.Condition{begins("tag", "ev"), where("spec.owner", "u-0")}, want: []int{0, 4, 8}},
	{name: "two prefixes that must both hold", where: []store.Condition{begins("tag", "ev"), begins("tag", "sm")}, want: []int{0, 2, 4}},
	{name: "many prefixes", where: []store.Condition{begins("spec.owner", append(numbered("x", 20), "u-1", "u-3")...)}, want: []int{1, 3, 5, 7, 9, 11}},
	{name: "prefix of a column", where: []store.Condition{begins(store.FieldID, "a")}},
	{name: "prefix of a column beside a value", where: []store.Condition{{Field: store.FieldName, Values: []string{"n-001"}, Prefixes: []string{"n"}}}, want: []int{1}},
	{name: "visible by prefix", visible: []store.Condition{begins("tag", "sm")}, want: []int{0, 1, 2, 3, 4, 5}},
	{name: "visible by prefix or otherwise", visible: []store.Condition{begins("tag", "sm"), where(store.FieldParent, "env-1"), where(store.FieldID, "a-008", "a-000")},
		want: []int{0, 1, 2, 3, 4, 5, 7, 8, 10}},
	{name: "where, and visible by prefix", where: []store.Condition{where("spec.owner", "u-2")}, visible: []store.Condition{begins("tag", "sm"), begins(store.FieldParent, "env")},
		want: []int{2}},
	{name: "contained", where: []store.Condition{contains("tag", "mal")}, want: []int{0, 1, 2, 3, 4, 5}},
	{name: "contained at either end", where: []store.Condition{contains("tag", "e"), contains("tag", "l")}, want: []int{0, 2, 4}},
	{name: "contained case counts", where: []store.Condition{contains("tag", "MAL")}},
	{name: "contained are no patterns", where: []store.Condition{contains("tag", "%")}},
	{name: "contained or value", where: []store.Condition{{Field: "tag", Contains: "ven", Values: []string{"small"}}}, want: []int{0, 1, 2, 3, 4, 5, 6, 8, 10}},
	{name: "contained and value", where: []store.Condition{contains("tag", "ven"), where("spec.owner", "u-0")}, want: []int{0, 4, 8}},
	{name: "contained in a column", where: []store.Condition{contains(store.FieldID, "a")}},
	{name: "visible by a part", visible: []store.Condition{contains("tag", "mal"), where(store.FieldID, "a-008")}, want: []int{0, 1, 2, 3, 4, 5, 8}},
	{name: "where by prefix, and visible", where: []store.Condition{begins("tag", "e")}, visible: []store.Condition{where(store.FieldParent, "env-0", "env-1"), where(store.FieldID, "a-002")},
		want: []int{0, 2, 4, 6, 10}},
}

func filters(b *bench) {
	b.shelf()
	for _, c := range filterCases {
		want := make([]string, len(c.want))
		for i, n := range c.want {
			want[i] = ids("a", 12)[n]
		}
		q := store.Query{Where: c.where, Visible: c.visible, Except: c.except}
		if got := b.list(q); !slices.Equal(got, want) {
			b.Errorf("%s: listed %v, want %v", c.name, got, want)
		}
		if n := b.count(q); n != int64(len(want)) {
			b.Errorf("%s: counted %d, want %d", c.name, n, len(want))
		}
		if got := b.everywhere(q); !slices.Equal(got, want) {
			b.Errorf("%s: listed %v everywhere, want %v", c.name, got, want)
		}
		b.update(func(tx store.Tx) error {
			rows, err := tx.List(b.ctx, store.Query{Org: b.org, Kind: b.kind, Where: c.where, Visible: c.visible, Except: c.except, Limit: 100})
			if len(rows) != len(want) {
				b.Errorf("%s: listed %d rows in a transaction, want %d", c.name, len(rows), len(want))
			}
			return err
		})
	}
}

// filtersPage reads every case page by page in both directions.
func filtersPage(b *bench) {
	b.shelf()
	for _, c := range filterCases {
		want := make([]string, len(c.want))
		for i, n := range c.want {
			want[i] = ids("a", 12)[n]
		}
		for _, limit := range []int{1, 2, 5} {
			q := store.Query{Where: c.where, Visible: c.visible, Except: c.except, Limit: limit}
			if got := slices.Concat(b.pages(q)...); !slices.Equal(got, want) {
				b.Errorf("%s by %d: got %v, want %v", c.name, limit, got, want)
			}
			q.Backward = true
			got := slices.Concat(b.pages(q)...)
			slices.Reverse(got)
			if !slices.Equal(got, want) {
				b.Errorf("%s by %d backward: got %v, want %v", c.name, limit, got, want)
			}
		}
		// Count looks at neither the page nor its direction.
		n := b.count(store.Query{Where: c.where, Visible: c.visible, Except: c.except, Limit: 1, After: 1 << 40, Backward: true})
		if n != int64(len(want)) {
			b.Errorf("%s: counted %d, want %d", c.name, n, len(want))
		}
	}
}

// manyValues goes past the bounds where a backend may change its way to look,
// and past the number of parameters that a statement can have.
func manyValues(b *bench) {
	b.shelf()
	check := func(field, filler string, size, want int, hit ...string) {
		b.Helper()
		values := slices.Concat(hit[:1], numbered(filler, size-len(hit)), hit[1:])
		for _, q := range []store.Query{
			{Where: []store.Condition{where(field, values...)}},
			{Visible: []store.Condition{where(field, values...)}},
		} {
			if got := b.list(q); len(got) != want || !slices.IsSorted(got) {
				b.Errorf("%s of %d: listed %v, want %d", field, size, got, want)
			}
			if size > 1000 {
				return // once is enough of what is slow under the race detector
			}
			if got := b.count(q); got != int64(want) {
				b.Errorf("%s of %d: counted %d, want %d", field, size, got, want)
			}
		}
	}
	for _, size := range []int{7, 8, 9, 100} {
		check(store.FieldID, "x", size, 2, "a-001", "a-005")
		check(store.FieldName, "x", size, 2, "n-001", "n-005")
		check(store.FieldParent, "x", size, 8, "env-0", "env-1")
		check("spec.owner", "x", size, 6, "u-1", "u-3")
		check("tag", `"quote' \back\slash ü <`, size, 6, "even")
	}
	check(store.FieldID, "x", 70000, 2, "a-001", "a-005")
}

// prefixes checks that they compare byte for byte, at the bounds of the lengths
// of characters too.
func prefixes(b *bench) {
	texts := []string{"", "a", "A", "a\x01", "ab", "a/b", "a0", "ab\x7f", "aü", "aÿ", "aĀ", "a\u07ff", "a\u0800", "a\ud7ff", "a\ud7ffb", "a\ue000",
		"a\uffff", "a\U00010000", "a\U0010ffff", "a\U0010ffffb", "\U0010ffff", "\U0010ffffa", "b", "u\u0308", "ü"}
	all := ids("a", len(texts))
	for i, text := range texts {
		b.mustInsert(b.row(all[i], ""), store.Entry{Field: "f", Value: text}, store.Entry{Field: "g", Value: "same"})
	}
	for _, prefix := range append(texts, "x", "a\xc3", "\xff") {
		var want []string
		for i, text := range texts {
			if strings.HasPrefix(text, prefix) && utf8.ValidString(prefix) {
				want = append(want, all[i])
			}
		}
		for what, q := range map[string]store.Query{
			"where":               {Where: []store.Condition{begins("f", prefix)}},
			"where beside others": {Where: []store.Condition{begins("f", prefix), where("g", "same")}},
			"visible":             {Visible: []store.Condition{begins("f", prefix), where("g", "other")}},
			"among many":          {Where: []store.Condition{begins("f", append(numbered("no", 10), prefix)...)}},
		} {
			if got := b.list(q); !slices.Equal(got, want) {
				b.Errorf("%s: %+q lists %v, want %v", what, prefix, got, want)
			}
			if n := b.count(q); n != int64(len(want)) {
				b.Errorf("%s: %+q counts %d, want %d", what, prefix, n, len(want))
			}
		}
	}
}

func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(prefix, i)
	}
	return out
}

// everywhere returns the IDs that the query selects in the bench's own kind in
// every organization, and checks that rows say where they are from.
func (b *bench) everywhere(q store.Query) []string {
	b.Helper()
	q.Org, q.Kind, q.Limit = "", b.kind, max(q.Limit, 1)
	var got []string
	for {
		rows := b.rows(q)
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			if full, err := b.Get(b.ctx, r.Org, r.Key); err != nil || full.Seq != r.Seq || r.Org == "" {
				b.Errorf("row %s is said to be in organization %q: %v", r.ID, r.Org, err)
			}
			got = append(got, r.ID)
			q.After = r.Seq
		}
	}
	if n, err := b.Count(b.ctx, q); err != nil || n != int64(len(got)) {
		b.Errorf("counted %d of %d rows everywhere, %v", n, len(got), err)
	}
	return got
}
