// Package engine turns the definition of a kind into its operations. One
// function, [Engine.Handle], takes the same steps for every kind; what differs
// between kinds is data in a [Kind], or a small hook.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/cloudaccess"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

// Config is what an Engine is made of.
type Config struct {
	Store store.Store
	// Kinds is the table of all kinds, served or internal.
	Kinds []*Kind
	// Calls are the operations that belong to no kind.
	Calls []*Call
	// PublicURL is the base of links, without a final slash.
	PublicURL    string
	Authenticate func(r *http.Request, accepted []string) (*authn.Caller, error)
	// Admit is asked once the caller is known, or with a nil caller when
	// authentication failed or was not asked for; it answers 429 and sets the
	// headers that tell of limits. Without an error leave is called when the
	// request has ended, however it ends.
	Admit func(rw http.ResponseWriter, r *http.Request, caller *authn.Caller) (leave func(), err error)
	// Filters returns the IP filters of an organization, and Client the address
	// that a request comes from, or the zero Addr where that is not known.
	Filters func(ctx context.Context, org string) (*ipfilter.Table, error)
	Client  func(r *http.Request) netip.Addr
	Tokens  api.PageTokens
	// SigningKeys sign the tokens that operations give out.
	SigningKeys *token.Keys
	Hasher      authn.Hasher
	// Clouds are who this installation is in the public clouds, and what can be
	// asked there.
	Clouds cloudaccess.Clouds
	Now    func() time.Time
	Log    *slog.Logger
}

// Engine serves kinds.
type Engine struct {
	Config
	kinds map[string]*Kind
	// quotas are those of all kinds, by code.
	quotas map[string]*Quota
	// routes finds the kind and verb behind an operation's id.
	routes map[string]route
	// users are the kinds whose objects others tell of in their Usages.
	users map[*Kind]bool
	// audited remembers which credentials the audit log has of late.
	audited *lru.Cache[presented, time.Time]
	// pages are those that are free for the answer to a list.
	pages *sync.Pool
}

// route is a kind with a verb or an action, or else a call.
type route struct {
	kind   *Kind
	verb   Verb
	action *Action
	check  *Check
	call   *Call
}

// New checks the table of kinds and returns the engine for it. An error means
// a mistake in a definition.
func New(c Config) (*Engine, error) {
	audited, err := lru.New[presented, time.Time](rememberedCredentials)
	if err != nil {
		return nil, err
	}
	e := &Engine{Config: c, kinds: map[string]*Kind{}, quotas: map[string]*Quota{}, routes: map[string]route{}, audited: audited, pages: new(sync.Pool)}
	var problems []error
	serve := func(id string, to route) {
		if _, dup := e.routes[id]; dup {
			by := "a call"
			if to.kind != nil {
				by = "kind " + to.kind.Key()
			}
			problems = append(problems, fmt.Errorf("%s: operation %s is served twice", by, id))
		}
		e.routes[id] = to
	}
	for _, k := range c.Kinds {
		if e.kinds[k.Key()] != nil {
			problems = append(problems, fmt.Errorf("kind %s is listed twice", k.Key()))
		}
		e.kinds[k.Key()] = k
	}
	e.users = map[*Kind]bool{}
	for _, k := range c.Kinds {
		e.users[k] = e.mayUse(k)
		for verb, id := range k.Operations {
			if err := k.checkOperation(verb, id); err != nil {
				problems = append(problems, err)
				continue
			}
			serve(id, route{kind: k, verb: verb})
		}
		for i := range k.Actions {
			a := &k.Actions[i]
			if op, ok := operation.ByID(a.Operation); !ok || !strings.HasPrefix(op.Path, k.Path+"/{id}") {
				problems = append(problems, fmt.Errorf("kind %s: there is no operation %s on its objects", k.Key(), a.Operation))
			}
			serve(a.Operation, route{kind: k, verb: act, action: a})
		}
		for i := range k.Checks {
			c := &k.Checks[i]
			if op, ok := operation.ByID(c.Operation); !ok || !strings.HasPrefix(op.Path, k.Path+":") {
				problems = append(problems, fmt.Errorf("kind %s: there is no operation %s on its collection", k.Key(), c.Operation))
			}
			serve(c.Operation, route{kind: k, verb: Checking, check: c})
		}
		problems = append(problems, e.checkFields(k)...)
		problems = append(problems, e.addQuotas(k)...)
	}
	for _, call := range c.Calls {
		if err := call.check(); err != nil {
			problems = append(problems, err)
		}
		serve(call.Operation, route{verb: act, call: call})
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return e, nil
}

var methods = map[Verb][]string{
	List: {http.MethodGet}, Create: {http.MethodPost}, Read: {http.MethodGet},
	Update: {http.MethodPatch, http.MethodPut}, Delete: {http.MethodDelete},
}

func (k *Kind) checkOperation(verb Verb, id string) error {
	op, ok := operation.ByID(id)
	if !ok {
		return fmt.Errorf("kind %s: there is no operation %s", k.Key(), id)
	}
	path := k.Path
	if verb != List && verb != Create {
		path += "/{id}"
	}
	if op.Path != path {
		return fmt.Errorf("kind %s: operation %s is at %s, not %s", k.Key(), id, op.Path, path)
	}
	for _, m := range methods[verb] {
		if op.Method == m {
			return nil
		}
	}
	return fmt.Errorf("kind %s: operation %s has method %s, which does not %s", k.Key(), id, op.Method, verb)
}

func (e *Engine) checkFields(k *Kind) []error {
	var problems []error
	walk(k.Fields, "", func(path string, f *Field) {
		to := f.To
		if f.Type == Array {
			if f.Items == nil {
				problems = append(problems, fmt.Errorf("kind %s: array %s has no items", k.Key(), path))
				return
			}
			to = f.Items.To
		}
		if (f.Type == Reference || f.Type == Array && f.Items.Type == Reference) && to == nil {
			problems = append(problems, fmt.Errorf("kind %s: reference %s says not to what", k.Key(), path))
		}
		if f.WriteOnly && (f.ReadOnly || f.Once || f.Always || f.Filter != NotFiltered || f.Immutable) {
			problems = append(problems, fmt.Errorf("kind %s: nothing can be shown of the write-only field %s", k.Key(), path))
		}
		if f.Type == Address && !f.ReadOnly {
			problems = append(problems, fmt.Errorf("kind %s: address %s must be read-only: users do not choose addresses on this server", k.Key(), path))
		}
		if f.Description == "" {
			problems = append(problems, fmt.Errorf("kind %s: field %s has no description", k.Key(), path))
		}
	})
	for _, path := range []string{k.UniqueName, k.OwnedBy} {
		if path != "" && path != store.FieldID && k.field(path) == nil {
			problems = append(problems, fmt.Errorf("kind %s: there is no field %s", k.Key(), path))
		}
	}
	if k.ParentField != "" {
		f := k.field(k.ParentField)
		if f == nil || f.Type != Reference || !f.Required || !f.Immutable || k.Parent == nil {
			problems = append(problems, fmt.Errorf("kind %s: the parent field %s must be a required, immutable reference, and Parent its kind", k.Key(), k.ParentField))
		}
	}
	if f := k.field(k.Usages); k.Usages != "" && (f == nil || !f.ReadOnly || f.Type != Array || f.Items == nil || f.Items.Type != String) {
		problems = append(problems, fmt.Errorf("kind %s: the field %s of usages must be read-only and an array of texts", k.Key(), k.Usages))
	}
	if k.ParentParameter != "" && k.ParentField == "" {
		problems = append(problems, fmt.Errorf("kind %s: the parameter %s names a parent, and the body names none", k.Key(), k.ParentParameter))
	}
	if k.Of != nil && (k.Of.Of != nil || e.kinds[k.Of.Key()] != k.Of || k.Operations[Update] != "" || len(k.Actions) > 0 || k.Segment != k.Of.Segment || k.ID != k.Of.ID || k.Parent != k.Of.Parent || k.Resource != k.Of.Resource) {
		problems = append(problems, fmt.Errorf("kind %s: another version of %s must name the same objects and has no update, and both must be in the table", k.Key(), k.Of.Key()))
	}
	if strings.Contains(k.Path, "{") && k.Parent == nil {
		problems = append(problems, fmt.Errorf("kind %s: the path names a parent, and there is none", k.Key()))
	}
	if err := k.checkSource(); err != nil {
		problems = append(problems, err)
	}
	return problems
}

// Serves reports whether an operation is built.
func (e *Engine) Serves(operationID string) bool {
	_, ok := e.routes[operationID]
	return ok
}

// Kind returns the kind with the key, or nil.
func (e *Engine) Kind(key string) *Kind { return e.kinds[key] }
