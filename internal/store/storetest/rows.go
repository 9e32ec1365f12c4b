package storetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/store"
)

func insertAndGet(b *bench) {
	r := b.row("a-1", "name")
	r.Parent = "env-1"
	b.mustInsert(r)
	if r.Seq <= 0 || r.Version != 1 {
		b.Errorf("inserted with seq %d and version %d", r.Seq, r.Version)
	}
	for _, org := range []string{b.org, ""} {
		got, err := b.Get(b.ctx, org, r.Key)
		if err != nil {
			b.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			b.Errorf("got %+v, want %+v", got, r)
		}
	}
	rows, err := b.List(b.ctx, store.Query{Org: b.org, Kind: b.kind, Limit: 1})
	if err != nil || len(rows) != 1 {
		b.Fatalf("list: %v, %v", rows, err)
	}
	want := *r
	want.Private = nil
	if !reflect.DeepEqual(rows[0], want) {
		b.Errorf("listed %+v, want %+v", rows[0], want)
	}
}

func updateReplaces(b *bench) {
	r := b.row("a-1", "before")
	b.mustInsert(r)
	for version := int64(2); version < 5; version++ {
		r.Name = fmt.Sprintf("after %d", version%2)
		r.Body, r.Private = []byte(r.Name), []byte("secret "+r.Name)
		r.Updated = r.Updated.Add(time.Second)
		if err := b.replace(r); err != nil {
			b.Fatal(err)
		}
		if r.Version != version {
			b.Errorf("version %d, want %d", r.Version, version)
		}
		got, err := b.Get(b.ctx, b.org, r.Key)
		if err != nil || !reflect.DeepEqual(got, r) {
			b.Errorf("got %+v, %v, want %+v", got, err, r)
		}
	}
	r.Name = ""
	if err := b.replace(r); err != nil {
		b.Fatal(err)
	}
	if got, err := b.Get(b.ctx, b.org, r.Key); err != nil || got.Name != "" {
		b.Errorf("got %+v, %v after the name was given up", got, err)
	}
}

func updateKeepsWhatNeverChanges(b *bench) {
	r := b.row("a-1", "name")
	r.Parent = "env-1"
	b.mustInsert(r)
	changed := &store.Row{Key: r.Key, Org: "other", Parent: "env-2", Name: "name", Seq: 99, Updated: r.Updated,
		Created: r.Created.Add(time.Hour), Body: []byte("new")}
	if err := b.replace(changed, store.Entry{Field: "f", Value: "v"}); err != nil {
		b.Fatal(err)
	}
	got, err := b.Get(b.ctx, b.org, r.Key)
	if err != nil {
		b.Fatal(err)
	}
	if got.Org != r.Org || got.Parent != r.Parent || got.Seq != r.Seq || !got.Created.Equal(r.Created) {
		b.Errorf("got %+v, want the place of %+v", got, r)
	}
	if got := b.list(store.Query{Where: []store.Condition{{Field: "f", Values: []string{"v"}}}}); len(got) != 1 {
		b.Errorf("the entry belongs to another organization: listed %v", got)
	}
}

func deleteEndsTheRow(b *bench) {
	r := b.row("a-1", "name")
	b.mustInsert(r, store.Entry{Field: "spec.owner", Value: "u-1", Target: "User"})
	b.mustRemove(r.ID)
	_, err := b.Get(b.ctx, b.org, r.Key)
	b.wantNotFound("get", err)
	b.wantNotFound("update", b.replace(r))
	b.wantNotFound("second delete", b.remove(r.ID))
	b.update(func(tx store.Tx) error {
		_, err := tx.Lock(b.ctx, b.org, r.Key)
		b.wantNotFound("lock", err)
		_, err = tx.Pin(b.ctx, b.org, r.Key)
		b.wantNotFound("pin", err)
		return nil
	})
	if got := b.list(store.Query{}); len(got) != 0 {
		b.Errorf("listed %v", got)
	}
	if n := b.count(store.Query{}); n != 0 {
		b.Errorf("counted %d", n)
	}
}

func missingRows(b *bench) {
	_, err := b.Get(b.ctx, b.org, b.key("none"))
	b.wantNotFound("get", err)
	b.wantNotFound("delete", b.remove("none"))
	b.wantNotFound("update", b.replace(b.row("none", "")))
	b.add("a-1")
	_, err = b.Get(b.ctx, b.org, store.Key{Kind: b.kind + "x", ID: "a-1"})
	b.wantNotFound("get with another kind", err)
	_, err = b.Get(b.ctx, b.org, b.key("A-1"))
	b.wantNotFound("get with another case", err)
}

func microseconds(b *bench) {
	berlin := time.FixedZone("CET", 3600)
	for i, at := range []time.Time{
		time.Date(2025, 6, 1, 12, 0, 0, 999999999, berlin),
		time.Date(2025, 6, 1, 12, 0, 0, 1000, time.UTC),
		time.Unix(0, 0),
		time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
		{},
	} {
		r := b.row(fmt.Sprintf("a-%d", i), "")
		r.Created, r.Updated = at, at.Add(time.Microsecond)
		b.mustInsert(r)
		got, err := b.Get(b.ctx, b.org, r.Key)
		if err != nil {
			b.Fatal(err)
		}
		// Equality by == also covers the location, which must be UTC.
		want := at.UTC().Round(0).Truncate(time.Microsecond)
		if got.Created != want || got.Updated != want.Add(time.Microsecond) {
			b.Errorf("got %v and %v, want %v and a microsecond more", got.Created, got.Updated, want)
		}
	}
}

func anyBytes(b *bench) {
	large := make([]byte, 1<<20)
	_, _ = rand.Read(large)
	for i, body := range [][]byte{nil, {}, {0}, {1}, []byte("a\x00b\x01c\xff"), large} {
		r := b.row(fmt.Sprintf("a-%d", i), "")
		r.Body, r.Private = body, body
		b.mustInsert(r)
		for range 2 {
			got, err := b.Get(b.ctx, b.org, r.Key)
			if err != nil {
				b.Fatal(err)
			}
			if !bytes.Equal(got.Body, body) || !bytes.Equal(got.Private, body) {
				b.Errorf("case %d: %d and %d bytes came back changed", i, len(got.Body), len(got.Private))
			}
			if err := b.replace(r); err != nil {
				b.Fatal(err)
			}
		}
	}
	rows, err := b.List(b.ctx, store.Query{Org: b.org, Kind: b.kind, Limit: 10})
	if err != nil || len(rows) != 6 || !bytes.Equal(rows[5].Body, large) || !bytes.Equal(rows[4].Body, []byte("a\x00b\x01c\xff")) {
		b.Errorf("listed %d rows with other bytes, %v", len(rows), err)
	}
}

// unstorableText is about text that PostgreSQL cannot hold and that no backend
// may choke on.
func unstorableText(b *bench) {
	b.mustInsert(b.row("a-1", "name"), store.Entry{Field: "f", Value: "v"})
	for _, bad := range []string{"a\x00b", "\x00", "\xff", "a\xc3"} {
		for _, key := range []store.Key{b.key(bad), {Kind: bad, ID: "a-1"}} {
			_, err := b.Get(b.ctx, b.org, key)
			b.wantNotFound("get", err)
			if refs, err := b.Referrers(b.ctx, key, 1); err != nil || len(refs) != 0 {
				b.Errorf("referrers: %v, %v", refs, err)
			}
		}
		_, err := b.Get(b.ctx, bad, b.key("a-1"))
		b.wantNotFound("get with organization", err)
		_, err = b.Setting(b.ctx, bad)
		b.wantNotFound("setting", err)
		for _, field := range []string{store.FieldID, store.FieldName, store.FieldParent, "f", bad} {
			where := []store.Condition{{Field: field, Values: []string{bad}}}
			if got := b.list(store.Query{Where: where}); len(got) != 0 {
				b.Errorf("list by %q: %v", field, got)
			}
			if got := b.list(store.Query{Visible: where}); len(got) != 0 {
				b.Errorf("list visible by %q: %v", field, got)
			}
		}
		good := b.list(store.Query{Where: []store.Condition{{Field: "f", Values: []string{bad, "v"}}}})
		if len(good) != 1 {
			b.Errorf("a value beside one that cannot be stored finds %v", good)
		}

		for what, change := range map[string]func(*store.Row, *store.Entry){
			"organization": func(r *store.Row, _ *store.Entry) { r.Org = bad },
			"kind":         func(r *store.Row, _ *store.Entry) { r.Kind = bad },
			"ID":           func(r *store.Row, _ *store.Entry) { r.ID = bad },
			"parent":       func(r *store.Row, _ *store.Entry) { r.Parent = bad },
			"name":         func(r *store.Row, _ *store.Entry) { r.Name = bad },
			"field":        func(_ *store.Row, e *store.Entry) { e.Field = bad },
			"value":        func(_ *store.Row, e *store.Entry) { e.Value = bad },
			"target":       func(_ *store.Row, e *store.Entry) { e.Target = bad },
		} {
			r, e := b.row("a-"+rand.Text(), ""), store.Entry{Field: "f", Value: "v", Target: "t"}
			change(r, &e)
			b.update(func(tx store.Tx) error {
				if err := tx.Insert(b.ctx, r, []store.Entry{e}); err == nil || errors.Is(err, store.ErrUnavailable) {
					b.Errorf("insert with bad %s: error %v", what, err)
				}
				if _, err := tx.Lock(b.ctx, b.org, b.key("a-1")); err != nil {
					b.Errorf("the transaction is broken after a bad %s: %v", what, err)
				}
				return nil
			})
		}
		b.update(func(tx store.Tx) error {
			if _, err := tx.PutSetting(b.ctx, bad, nil); err == nil {
				b.Error("a setting with a bad name was stored")
			}
			b.wantNotFound("delete", tx.Delete(b.ctx, b.key(bad), time.Now()))
			return nil
		})
	}
	long := b.row("a-2", strings.Repeat("ü", 512))
	b.mustInsert(long, store.Entry{Field: strings.Repeat("f", 255), Value: strings.Repeat("v", 1024), Target: strings.Repeat("t", 255)})
	long = b.row(strings.Repeat("i", 255), strings.Repeat("n", 1024))
	long.Parent = strings.Repeat("p", 255)
	b.mustInsert(long)
	if err := b.insert(b.row(strings.Repeat("i", 256), "")); err == nil {
		b.Error("an ID of 256 bytes was stored")
	}
}
