package storetest

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weirhq/weir/internal/store"
)

// pages reads all pages of the query and returns the IDs page by page.
func (b *bench) pages(q store.Query) [][]string {
	b.Helper()
	q.Org, q.Kind = b.org, b.kind
	var pages [][]string
	for {
		rows, err := b.List(b.ctx, q)
		if err != nil {
			b.Fatalf("list: %v", err)
		}
		if len(rows) == 0 {
			return pages
		}
		if len(rows) > q.Limit {
			b.Fatalf("a page of %d has %d rows", q.Limit, len(rows))
		}
		page := make([]string, len(rows))
		for i, r := range rows {
			page[i] = r.ID
			if past := r.Seq > q.After; past == q.Backward && q.After != 0 {
				b.Errorf("row %s with seq %d on the page after %d", r.ID, r.Seq, q.After)
			}
			q.After = r.Seq
		}
		pages = append(pages, page)
	}
}

func pagesForward(b *bench) {
	want := ids("a", 25)
	b.add(want...)
	for _, limit := range []int{1, 7, 25, 26, 1000} {
		pages := b.pages(store.Query{Limit: limit})
		if got := slices.Concat(pages...); !slices.Equal(got, want) {
			b.Errorf("limit %d: got %v", limit, got)
		}
		if wantPages := (25 + limit - 1) / limit; len(pages) != wantPages {
			b.Errorf("limit %d: %d pages, want %d", limit, len(pages), wantPages)
		}
	}
}

func pagesBackward(b *bench) {
	want := ids("a", 25)
	b.add(want...)
	slices.Reverse(want)
	for _, limit := range []int{1, 7, 25, 1000} {
		if got := slices.Concat(b.pages(store.Query{Limit: limit, Backward: true})...); !slices.Equal(got, want) {
			b.Errorf("limit %d: got %v", limit, got)
		}
	}
}

// pagesUnderChange reads pages while rows come and go: what was there all the
// time is seen exactly once, in order.
func pagesUnderChange(b *bench) {
	stay := ids("stay", 60)
	var all []string
	for i, id := range stay {
		all = append(all, id, ids("go", 60)[i])
	}
	b.add(all...)
	var stop atomic.Bool
	var changes sync.WaitGroup
	defer changes.Wait()
	defer stop.Store(true)
	changes.Go(func() {
		for i := 0; i < 60 && !stop.Load(); i++ {
			if err := b.remove(ids("go", 60)[i]); err != nil {
				b.Error(err)
			}
			if err := b.insert(b.row(ids("new", 60)[i], "")); err != nil {
				b.Error(err)
			}
		}
	})
	for range 3 {
		for _, backward := range []bool{false, true} {
			got := slices.Concat(b.pages(store.Query{Limit: 7, Backward: backward})...)
			if backward {
				slices.Reverse(got)
			}
			got = slices.DeleteFunc(got, func(id string) bool { return !slices.Contains(stay, id) })
			if !slices.Equal(got, stay) {
				b.Errorf("backward %v: got %v", backward, got)
			}
		}
	}
}

func limitAtLeastOne(b *bench) {
	for _, limit := range []int{0, -1} {
		if _, err := b.List(b.ctx, store.Query{Org: b.org, Kind: b.kind, Limit: limit}); err == nil {
			b.Errorf("a list with limit %d is no error", limit)
		}
	}
}

// visitEnds stops in the midst of a page, in order and not, which holds nothing up.
func visitEnds(b *bench) {
	b.add(ids("a", 5)...)
	enough := errors.New("enough")
	for range 20 { // more often than there are connections
		visited := 0
		err := b.Visit(b.ctx, store.Query{Org: b.org, Kind: b.kind, Limit: 5}, func(*store.Row) error {
			if visited++; visited == 3 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || visited != 3 {
			b.Fatalf("visited %d rows: %v", visited, err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = b.Visit(b.ctx, store.Query{Org: b.org, Kind: b.kind, Limit: 5}, func(*store.Row) error { panic("out of order") })
			b.Error("a panic is kept from the caller")
		}()
	}
	b.add("b-1")
	if got := b.list(store.Query{}); len(got) != 6 {
		b.Errorf("afterwards: %v", got)
	}
}
