package authz_test

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/server"
)

var update = flag.Bool("update", false, "write the decisions and the tables in docs/authorization.md anew")

// asked is what a served operation asks for: an operation on one of the
// resource types.
type asked struct {
	id, operation string
	resources     []string
	// container says that the question is about what will hold the object.
	container bool
	kind      *engine.Kind
}

// served lists what every operation that the server serves asks for, sorted by
// the operation's identifier. Where tokens have scopes no role has a say.
func served(t *testing.T) []asked {
	t.Helper()
	usual := map[engine.Verb]string{
		engine.List: authz.Describe, engine.Read: authz.Describe,
		engine.Create: "Create", engine.Update: "Alter", engine.Delete: "Delete",
	}
	var out []asked
	for _, k := range server.Kinds() {
		resources := []string{k.Resource}
		if k.Guards != nil {
			resources = k.GuardedAs
		}
		for verb, id := range k.Operations {
			if op, _ := operation.ByID(id); len(op.Scopes) > 0 {
				continue
			}
			a := asked{id: id, operation: usual[verb], resources: resources, kind: k, container: verb == engine.Create}
			if other := k.Asks[verb]; other != "" {
				a.operation = other
			}
			if verb == engine.Create && k.CreateOn != nil {
				a.operation, a.resources = k.CreateOn.Operation, []string{k.CreateOn.Resource}
			}
			out = append(out, a)
		}
		for _, action := range k.Actions {
			out = append(out, asked{id: action.Operation, operation: action.Asks, resources: resources, kind: k})
		}
		for _, check := range k.Checks {
			out = append(out, asked{id: check.Operation, operation: check.Asks, resources: resources, kind: k})
		}
	}
	for _, c := range server.Calls() {
		if c.Asks != nil {
			out = append(out, asked{id: c.Operation, operation: c.Asks.Operation, resources: []string{c.Asks.Resource}})
		}
	}
	slices.SortFunc(out, func(a, b asked) int { return strings.Compare(a.id, b.id) })
	return out
}

// TestServed holds the list to the engine: it names every operation that is
// served and asks for credentials, and each asks for something.
func TestServed(t *testing.T) {
	t.Parallel()
	e, err := engine.New(engine.Config{Kinds: server.Kinds(), Calls: server.Calls()})
	if err != nil {
		t.Fatal(err)
	}
	list := served(t)
	for _, op := range operation.All() {
		if slices.ContainsFunc(server.Calls(), func(c *engine.Call) bool { return c.Operation == op.ID && c.Asks == nil }) {
			continue // every caller may
		}
		i := slices.IndexFunc(list, func(a asked) bool { return a.id == op.ID })
		if (e.Serves(op.ID) && len(op.Scopes) == 0 && len(op.Credentials) > 0) != (i >= 0) {
			t.Errorf("%s is served: %t, and listed: %t", op.ID, e.Serves(op.ID), i >= 0)
		}
	}
	for _, a := range list {
		if a.operation == "" || len(a.resources) == 0 || slices.Contains(a.resources, "") {
			t.Errorf("%s asks for %q on %q", a.id, a.operation, a.resources)
		}
	}
}

// golden compares the text with the file, or writes it.
func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) == text {
		return
	}
	was, is := strings.Split(string(raw), "\n"), strings.Split(text, "\n")
	for i := range max(len(was), len(is)) {
		var a, b string
		if i < len(was) {
			a = was[i]
		}
		if i < len(is) {
			b = is[i]
		}
		if a != b {
			t.Fatalf("%s is not what the roles say; look at the difference, and if it is meant run: go test ./internal/authz -update\nline %d was %q\nand is now %q", path, i+1, a, b)
		}
	}
}
