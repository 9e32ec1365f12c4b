package trail_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/audit/trail"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/pgtest"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const root = "crn://confluent.cloud/organization=org-1"

// fill adds 2000 events, a minute apart, in turns of five kinds.
func fill(t *testing.T, s store.Store) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for i := range 2000 {
			e := audit.Event{
				ID: fmt.Sprint(i), Time: begin.Add(time.Duration(i) * time.Minute), Organization: fmt.Sprint("org-", i%2),
				Method: []string{"CreateEnvironment", "DeleteEnvironment", "GetEnvironment", "UpdateEnvironment", "CreateAPIKey"}[i%5],
				Access: audit.Modification, Resource: fmt.Sprint(root, "/environment=env-", i%7),
				Actor: &audit.Actor{Principal: fmt.Sprint("u-", i%3), Mechanism: audit.HTTPBasic, Credential: fmt.Sprint("KEY", i%3), Client: netip.MustParseAddr("10.0.0.1"), RequestID: "r"},
			}
			name, err := crn.Parse(e.Resource)
			if err != nil {
				return err
			}
			e.Resources = []audit.Resource{audit.ResourceOf(name, "ENVIRONMENT", fmt.Sprint("env-", i%7))}
			switch i % 4 {
			case 0:
				e.Failed, e.Result = true, []byte(`{"status":403,"code":"x","message":"None of your roles\nallows it"}`)
				e.Authorization = &audit.Authorization{}
			case 1:
				e.Failed, e.Result = true, []byte(`{"status":409,"code":"x","message":"Taken"}`)
			}
			if err := tx.Append(e.Entry()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func onEachStore(t *testing.T, test func(t *testing.T, s store.Store)) {
	t.Helper()
	for name, url := range map[string]string{"SQLite": "", "PostgreSQL": pgtest.URL(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := sqlstore.Open(t.Context(), url, t.TempDir(), sqlstore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			test(t, s)
		})
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, s store.Store) {
		l := trail.Log{Store: s}
		none := func(*trail.Entry) error { t.Error("an empty log has events"); return nil }
		if err := l.Query(t.Context(), trail.Filter{Since: begin}, none); err != nil {
			t.Fatal(err)
		}
		fill(t, s)
		at := func(i int) time.Time { return begin.Add(time.Duration(i) * time.Minute) }
		for name, c := range map[string]struct {
			filter trail.Filter
			want   func(i int) bool
		}{
			"all":            {trail.Filter{}, func(int) bool { return true }},
			"principal":      {trail.Filter{Principal: "u-1"}, func(i int) bool { return i%3 == 1 }},
			"credential":     {trail.Filter{Credential: "KEY2"}, func(i int) bool { return i%3 == 2 }},
			"method":         {trail.Filter{Method: "createapikey"}, func(i int) bool { return i%5 == 4 }},
			"ID":             {trail.Filter{Resource: "env-3"}, func(i int) bool { return i%7 == 3 }},
			"resource name":  {trail.Filter{Resource: root + "/environment=env-3"}, func(i int) bool { return i%7 == 3 }},
			"below":          {trail.Filter{Resource: root}, func(int) bool { return true }},
			"part of a name": {trail.Filter{Resource: root + "/environment=env"}, func(int) bool { return false }},
			"deny":           {trail.Filter{Result: "deny"}, func(i int) bool { return i%4 == 0 }},
			"failure":        {trail.Filter{Result: "failure"}, func(i int) bool { return i%4 == 1 }},
			"success":        {trail.Filter{Result: "success"}, func(i int) bool { return i%4 > 1 }},
			"organization":   {trail.Filter{Organization: "org-1"}, func(i int) bool { return i%2 == 1 }},
			"since":          {trail.Filter{Since: at(1234)}, func(i int) bool { return i >= 1234 }},
			"until":          {trail.Filter{Until: at(77)}, func(i int) bool { return i <= 77 }},
			"between":        {trail.Filter{Since: at(500), Until: at(501)}, func(i int) bool { return i == 500 || i == 501 }},
			"before all":     {trail.Filter{Since: at(-1000)}, func(int) bool { return true }},
			"after all":      {trail.Filter{Since: at(3000)}, func(int) bool { return false }},
			"several":        {trail.Filter{Principal: "u-1", Result: "deny", Since: at(10)}, func(i int) bool { return i >= 10 && i%3 == 1 && i%4 == 0 }},
		} {
			var got, want []string
			if err := l.Query(t.Context(), c.filter, func(e *trail.Entry) error {
				got = append(got, e.ID)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for i := range 2000 {
				if c.want(i) {
					want = append(want, fmt.Sprint(i))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d events, want %d", name, len(got), len(want))
			}
		}
	})
}

func TestTail(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, s store.Store) {
		fill(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lines := make(chan string, 1000) // more than there are, since nobody reads to the end
		ended := make(chan error, 1)
		go func() {
			ended <- trail.Log{Store: s}.Tail(ctx, trail.Filter{Principal: "u-1", Result: "deny"}, 2, func(e *trail.Entry) error {
				lines <- e.Line()
				return nil
			})
		}()
		next := func() string {
			t.Helper()
			select {
			case line := <-lines:
				return line
			case <-time.After(20 * time.Second):
				t.Fatal("nothing comes")
				return ""
			}
		}
		// The last two of 4, 16, 28, …, 1984, 1996.
		if first, second := next(), next(); !strings.HasPrefix(first, at(1984)) || !strings.HasPrefix(second, at(1996)) {
			t.Errorf("the last are %s and %s", first, second)
		}
		fill(t, s)
		line := next()
		if want := at(4) + "  deny     CreateAPIKey env-4  by u-1  with KEY1  from 10.0.0.1  request r  (None of your roles allows it)"; line != want {
			t.Errorf("the next is\n%q, want\n%q", line, want)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the end is %v", err)
		}
	})
}

func at(i int) string {
	return begin.Add(time.Duration(i) * time.Minute).Format("2006-01-02T15:04:05.000Z")
}
