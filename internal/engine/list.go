package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/store"
)

// list answers with one page of the objects that the caller may see.
func (e *Engine) list(ctx context.Context, q *request) (*Answer, error) {
	k := q.kind
	if q.parent != "" {
		if err := e.checkParent(ctx, q); err != nil {
			return nil, err
		}
	}
	query := store.Query{Org: q.caller.Org, Kind: k.StoreKey(), Visible: k.Visible(q.caller), Except: q.keptFrom()}
	filters, err := k.filters(q.query)
	if err != nil {
		return nil, err
	}
	if k.ParentField != "" {
		if err := e.admitToParents(ctx, q, filters[k.ParentField]); err != nil {
			return nil, err
		}
	}
	if q.parent != "" {
		query.Where = append(query.Where, store.Condition{Field: store.FieldParent, Values: []string{q.parent}})
	}
	for _, parameter := range slices.Sorted(maps.Keys(filters)) {
		if _, f := k.filter(parameter); f == nil {
			continue // it says how another filter is meant
		}
		condition, err := k.condition(parameter, filters)
		if err != nil {
			return nil, err
		}
		query.Where = append(query.Where, condition)
	}

	binding := strings.Join([]string{q.caller.Org, q.caller.Principal, q.op.ID, q.parent, filters.Encode()}, "\x00")
	at, err := e.page(q, binding)
	if err != nil {
		return nil, err
	}

	// One row more than the page holds tells whether there is a further page.
	query.After, query.Backward, query.Limit = at.After, at.Backward, at.Size+1
	from, err := e.reader(ctx, q)
	if err != nil {
		return nil, err
	}
	page, err := e.readPage(ctx, k, from, query, at.Size)
	if err != nil {
		return nil, err
	}
	links := pageLinks{e: e, path: q.collection(), filters: filters, size: at.Size, binding: binding}
	meta, err := listMeta(ctx, q, from, query, at, page, links)
	if err != nil {
		return nil, err
	}
	return &Answer{Status: q.op.Success, Body: renderList(k, meta), page: page}, nil
}

// documents are those of one page: the end of the answer to a list.
type documents struct {
	// text is the rest of the answer, without marks.
	text []byte
	// seqs are the positions of the documents in the order of lists, ends where
	// each ends in text with the comma behind it.
	seqs []int64
	ends []int
	// further says that there are more beyond the last one found.
	further bool
	// pool takes the page back for the next list, which needs room for as much.
	pool *sync.Pool
}

// maxKeptPage is the greatest room in bytes that is kept for the next page.
const maxKeptPage = 256 << 10

func (d *documents) release() {
	if cap(d.text) <= maxKeptPage {
		d.pool.Put(d)
	}
}

// readPage reads so many documents, and whether there are more.
func (e *Engine) readPage(ctx context.Context, k *Kind, from reader, query store.Query, size int) (*documents, error) {
	d, kept := e.pages.Get().(*documents)
	if !kept {
		d = &documents{pool: e.pages}
	}
	d.text, d.seqs, d.ends, d.further = d.text[:0], d.seqs[:0], d.ends[:0], false
	query.BodyOnly = k.Of == nil // the document of another version is made from all of a row
	err := from.Visit(ctx, query, func(row *store.Row) error {
		if len(d.seqs) == size {
			d.further = true
			return nil
		}
		document, err := k.document(row)
		if err != nil {
			return err
		}
		d.text = append(api.AppendSpliced(d.text, document, e.PublicURL), ',')
		d.seqs, d.ends = append(d.seqs, row.Seq), append(d.ends, len(d.text))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if query.Backward {
		d.reverse()
	}
	d.text = append(bytes.TrimSuffix(d.text, []byte{','}), "]}"...)
	return d, nil
}

// reverse brings what was found from the end into the order of lists.
func (d *documents) reverse() {
	text := make([]byte, 0, len(d.text)+1)
	for i := len(d.ends) - 1; i >= 0; i-- {
		start := 0
		if i > 0 {
			start = d.ends[i-1]
		}
		text = append(text, d.text[start:d.ends[i]]...)
	}
	d.text = text
	slices.Reverse(d.seqs)
}

// checkParent answers for a list below something that is not there, or that the
// caller may not know of.
func (e *Engine) checkParent(ctx context.Context, q *request) error {
	k := q.kind.Parent
	row, err := e.Store.Get(ctx, q.caller.Org, store.Key{Kind: k.StoreKey(), ID: q.parent})
	if errors.Is(err, store.ErrNotFound) {
		return k.missing(q.parent)
	}
	if err != nil {
		return err
	}
	o, err := k.Decode(row)
	if err != nil {
		return err
	}
	if !k.VisibleTo(q.caller, o) {
		return k.missing(q.parent)
	}
	return q.admit(k, Read, o)
}

// collection is the path of the list as requested, its parent filled in.
func (q *request) collection() string {
	return (&Object{Kind: q.kind, Parent: q.parent}).collection()
}

// Visible says, for the store, what of the kind the caller may see; nil is
// everything. It agrees with the decision about each object.
func (k *Kind) Visible(caller *authn.Caller) []store.Condition {
	conditions := []store.Condition{}
	all := true
	for _, resource := range k.guardedAs() {
		v := authz.Visible(caller.Subject, k.asks(List), resource, k.Segment)
		all = all && v.All
		if v.All {
			v.Scopes = []string{OrganizationCRN(caller.Org).String()}
		}
		switch {
		case k.indexed() && len(v.Scopes) > 0:
			conditions = append(conditions, guardCondition(resource, v.Scopes))
		case !k.indexed() && len(v.IDs) > 0:
			conditions = append(conditions, store.Condition{Field: store.FieldID, Values: v.IDs})
		}
	}
	if all {
		return nil
	}
	if k.OwnedBy != "" && authz.OwnerMay(caller.Principal, k.asks(List), k.guardedAs()) {
		conditions = append(conditions, store.Condition{Field: k.OwnedBy, Values: []string{k.OwnerPrefix + caller.Principal}})
	}
	return conditions
}

func (k *Kind) guardedAs() []string {
	if k.Guards != nil {
		return k.GuardedAs
	}
	return []string{k.Resource}
}

// guardCondition selects what is guarded by something that the scopes, some of
// which end in a wildcard, cover.
func guardCondition(resource string, scopes []string) store.Condition {
	c := store.Condition{Field: guardField(resource)}
	for _, scope := range scopes {
		if prefix, ok := strings.CutSuffix(scope, "*"); ok {
			c.Prefixes = append(c.Prefixes, prefix)
		} else {
			c.Values = append(c.Values, scope)
		}
	}
	return c
}

// column is where the store finds a filterable field.
func (k *Kind) column(path string) string {
	if path == k.stored().UniqueName {
		return store.FieldName
	}
	return path
}

// condition selects what matches the values of a filter's parameter.
func (k *Kind) condition(parameter string, filters url.Values) (store.Condition, error) {
	path, f := k.filter(parameter)
	if f.FilterBy == nil {
		return store.Condition{Field: k.column(path), Values: f.meant(filters[parameter])}, nil
	}
	c, err := f.FilterBy(filters.Get(parameter), filters)
	if err != nil {
		return c, api.BadParameter(api.InvalidParameter, parameter, "The parameter '"+parameter+"' "+err.Error())
	}
	return c, nil
}

// meant are the values that a filter selects by. Those for several values have
// more than one reading, and all of them match: the vendor's example separates
// values by commas, and a name may have a comma in it; the provider of Terraform
// sends the words of a name as values.
func (f *Field) meant(sent []string) []string {
	if f.Filter != FilterAny {
		return sent
	}
	values := slices.Clone(sent)
	for _, v := range sent {
		if strings.Contains(v, ",") {
			values = append(values, strings.FieldsFunc(v, func(r rune) bool { return r == ',' })...)
		}
	}
	if len(sent) > 1 {
		values = append(values, strings.Join(sent, " "))
	}
	return values
}

// filters reads the query parameters that the kind's lists take. Empty ones
// count as absent: clients send parameters that they have no value for.
func (k *Kind) filters(query url.Values) (url.Values, error) {
	out := url.Values{}
	missing, alone, wants := "", "", ""
	k.eachFilter(func(parameter, _ string, f *Field) {
		var values []string
		for _, v := range query[parameter] {
			if v == "" {
				continue
			}
			if f.To != nil {
				v = f.To.literal(v)
			}
			values = append(values, v)
		}
		if len(values) > 0 {
			out[parameter] = values
		} else if f.FilterRequired && missing == "" {
			missing = parameter
		}
		for _, p := range f.FilterWith {
			value := query.Get(p.Name)
			if value != "" && len(values) == 0 && alone == "" {
				alone, wants = p.Name, parameter
			}
			if value != "" {
				out.Set(p.Name, value)
			}
		}
	})
	if alone != "" {
		return nil, api.BadParameter(api.InvalidParameter, alone, "The parameter '"+alone+"' needs the parameter '"+wants+"' beside it")
	}
	if missing != "" {
		return nil, api.BadParameter(api.InvalidParameter, missing, "The parameter '"+missing+"' is required")
	}
	return out, nil
}

// page reads page_size and page_token.
func (e *Engine) page(q *request, binding string) (api.PageToken, error) {
	sizes := q.kind.pageSize()
	at := api.PageToken{Size: sizes.Default}
	if token := q.query.Get("page_token"); token != "" {
		var err error
		if at, err = e.Tokens.Open(token, binding); err != nil {
			return at, api.BadParameter(api.InvalidPageToken, "page_token", "The page token is not valid for this list; start again from the first page")
		}
	}
	if text := q.query.Get("page_size"); text != "" {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 || size > sizes.Max {
			return at, api.BadParameter(api.InvalidParameter, "page_size", fmt.Sprintf("The parameter 'page_size' must be a whole number from 1 to %d", sizes.Max))
		}
		at.Size = size
	}
	return at, nil
}

// pageLinks makes links to pages of one list.
type pageLinks struct {
	e       *Engine
	path    string
	filters url.Values
	size    int
	binding string
}

func (l pageLinks) first() string {
	return l.with(nil)
}

func (l pageLinks) to(after int64, backward bool) string {
	token := l.e.Tokens.Seal(api.PageToken{After: after, Backward: backward, Size: l.size}, l.binding)
	return l.with(url.Values{"page_token": {token}})
}

// with keeps the filters in the link, since the token is bound to them.
func (l pageLinks) with(more url.Values) string {
	v := url.Values{"page_size": {strconv.Itoa(l.size)}}
	for name, values := range l.filters {
		v[name] = values
	}
	for name, values := range more {
		v[name] = values
	}
	return l.path + "?" + v.Encode()
}

// listMeta writes the list's metadata. A link is left out where there is no
// such page: clients fail on a null.
func listMeta(ctx context.Context, q *request, from reader, query store.Query, at api.PageToken, page *documents, links pageLinks) ([]byte, error) {
	var b encoder
	comma := ""
	link := func(name, path string) {
		b.raw(comma).text(name).raw(":").link(path)
		comma = ","
	}
	pages := q.kind.Pages
	hasNext, hasPrev := page.further, at.After != 0
	if at.Backward {
		hasNext, hasPrev = at.After != 0, page.further
	}
	if pages.First {
		link("first", links.first())
	}
	if pages.Last {
		link("last", links.to(0, true))
	}
	if pages.Prev && hasPrev && len(page.seqs) > 0 {
		link("prev", links.to(page.seqs[0], true))
	}
	if hasNext && len(page.seqs) > 0 {
		link("next", links.to(page.seqs[len(page.seqs)-1], false))
	}
	if pages.Total {
		n, err := from.Count(ctx, query)
		if err != nil {
			return nil, err
		}
		b.raw(comma).raw(`"total_size":`).raw(strconv.FormatInt(n, 10))
	}
	return b.Bytes(), nil
}

// renderList is the beginning of a list, up to its documents: nothing is decoded
// for a list, and its documents are sent as they lie.
func renderList(k *Kind, meta []byte) []byte {
	var b encoder
	b.Grow(128 + len(meta))
	b.raw(`{"api_version":`).text(k.APIVersion()).raw(`,"kind":`).text(k.ListKind())
	b.raw(`,"metadata":{`).Write(meta)
	b.raw(`},"data":[`)
	return b.Bytes()
}
