package operation

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxParams is the greatest number of parameters that a path may have. The
// published paths have at most five.
const maxParams = 8

// Param is one parameter of a path, percent-decoded.
type Param struct{ Name, Value string }

// Params are the parameters of a path in the order in which they stand in it.
type Params []Param

// Get returns the value of the named parameter, or "".
func (p Params) Get(name string) string {
	for _, q := range p {
		if q.Name == name {
			return q.Value
		}
	}
	return ""
}

// Router finds the operation for a method and path. It is immutable and safe
// for concurrent use.
type Router struct{ root node }

// node is what can follow one beginning of a path. The children are tried in
// the order of the fields: literal text wins over a parameter that ends in
// literal text, which wins over a bare parameter.
type node struct {
	literal  map[string]*node
	suffixed []suffixed
	param    *node

	// routes are the operations whose path ends here, one for each method,
	// and allow is what Match returns for other methods.
	routes []route
	allow  []string
}

// suffixed is a segment such as "{id}:resend".
type suffixed struct {
	text string
	node *node
}

type route struct {
	method string
	op     *Operation
	names  []string
}

// NewRouter returns a router over the operations, which it copies. Paths that
// differ only in the names of parameters are one path. It fails for a path
// that it cannot read, and for two operations with one method and one path.
func NewRouter(ops []Operation) (*Router, error) {
	var r Router
	for _, o := range slices.Clone(ops) {
		if err := r.add(&o); err != nil {
			return nil, fmt.Errorf("operation %s, %s %s: %w", o.ID, o.Method, o.Path, err)
		}
	}
	r.root.finish()
	return &r, nil
}

func (r *Router) add(o *Operation) error {
	rest, ok := strings.CutPrefix(o.Path, "/")
	if !ok || strings.ContainsAny(rest, "?#%") {
		return fmt.Errorf("the path must begin with a slash and have no query, fragment or escape")
	}
	n := &r.root
	var names []string
	for segment := range strings.SplitSeq(rest, "/") {
		name, literal, err := parseSegment(segment)
		if err != nil {
			return err
		}
		if name != "" {
			names = append(names, name)
		}
		n = n.child(name != "", literal)
	}
	if len(names) > maxParams {
		return fmt.Errorf("more than %d parameters", maxParams)
	}
	for _, q := range n.routes {
		if q.method == o.Method {
			return fmt.Errorf("operation %s, %s, has the same method and path", q.op.ID, q.op.Path)
		}
	}
	n.routes = append(n.routes, route{o.Method, o, names})
	return nil
}

// parseSegment reads a segment of a template: "users", "{id}" or
// "{id}:resend". The literal is all of the first, none of the second and
// ":resend" of the third.
func parseSegment(s string) (name, literal string, err error) {
	if s == "" {
		return "", "", fmt.Errorf("an empty segment")
	}
	after, ok := strings.CutPrefix(s, "{")
	if !ok {
		if strings.ContainsAny(s, "{}") {
			return "", "", fmt.Errorf("segment %q: a parameter may only stand at the beginning", s)
		}
		return "", s, nil
	}
	name, literal, ok = strings.Cut(after, "}")
	if !ok || name == "" || strings.ContainsAny(name+literal, "{}") || (literal != "" && literal[0] != ':') {
		return "", "", fmt.Errorf("segment %q: want {name} or {name}:verb", s)
	}
	return name, literal, nil
}

// child returns the node for a segment, which it makes where there is none.
func (n *node) child(param bool, literal string) *node {
	switch {
	case !param:
		if n.literal == nil {
			n.literal = make(map[string]*node)
		}
		if n.literal[literal] == nil {
			n.literal[literal] = new(node)
		}
		return n.literal[literal]
	case literal != "":
		for _, s := range n.suffixed {
			if s.text == literal {
				return s.node
			}
		}
		c := new(node)
		n.suffixed = append(n.suffixed, suffixed{literal, c})
		return c
	default:
		if n.param == nil {
			n.param = new(node)
		}
		return n.param
	}
}

// finish computes the lists of allowed methods and lets the longest suffix be
// tried first.
func (n *node) finish() {
	if len(n.routes) > 0 {
		n.allow = []string{http.MethodOptions}
		for _, r := range n.routes {
			n.allow = append(n.allow, r.method)
			if r.method == http.MethodGet {
				n.allow = append(n.allow, http.MethodHead)
			}
		}
		slices.Sort(n.allow)
		n.allow = slices.Compact(n.allow)
	}
	slices.SortFunc(n.suffixed, func(a, b suffixed) int { return len(b.text) - len(a.text) })
	for _, c := range n.literal {
		c.finish()
	}
	for _, s := range n.suffixed {
		s.node.finish()
	}
	if n.param != nil {
		n.param.finish()
	}
}

// Match finds the operation for a request: method is its method and
// escapedPath its path as sent, without the query (url.URL.EscapedPath).
//
// The most specific path decides, whatever the method: literal text wins over
// a parameter at each segment, from left to right, and what leads nowhere is
// tried the other way. A parameter is one whole segment and not empty; its
// value is percent-decoded once, so it may hold a slash that was sent as %2F.
// A verb such as ":resend" at the end of a parameter counts only where its
// colon was sent as it is, so that a value may end in %3Aresend.
//
// For a known path and another method op is nil and allow lists the methods
// that the path has, sorted, with OPTIONS, and with HEAD where there is GET; it
// must not be changed. HEAD finds the operation of GET. For an unknown path
// all results are nil. Match allocates only for parameters.
func (r *Router) Match(method, escapedPath string) (op *Operation, params Params, allow []string) {
	rest, ok := strings.CutPrefix(escapedPath, "/")
	if !ok {
		return nil, nil, nil
	}
	var values [maxParams]string
	n, count := r.root.match(rest, &values, 0)
	if n == nil {
		return nil, nil, nil
	}
	q := n.route(method)
	if q == nil {
		return nil, nil, n.allow
	}
	if count == 0 {
		return q.op, nil, nil
	}
	params = make(Params, count)
	for i, v := range values[:count] {
		value, err := unescape(v)
		if err != nil {
			return nil, nil, nil
		}
		params[i] = Param{q.names[i], value}
	}
	return q.op, params, nil
}

// match returns the node at which the path ends, or nil, and how many values
// it put into the array, which holds count of them already.
func (n *node) match(path string, values *[maxParams]string, count int) (*node, int) {
	segment, rest, more := strings.Cut(path, "/")
	if segment == "" {
		return nil, 0
	}
	// The children of a node share what is left of the path.
	descend := func(c *node, count int) (*node, int) {
		if more {
			return c.match(rest, values, count)
		}
		if len(c.routes) == 0 {
			return nil, 0
		}
		return c, count
	}
	if c := n.literal[segment]; c != nil {
		if found, k := descend(c, count); found != nil {
			return found, k
		}
	} else if strings.Contains(segment, "%") && n.literal != nil {
		if text, err := unescape(segment); err == nil && n.literal[text] != nil {
			if found, k := descend(n.literal[text], count); found != nil {
				return found, k
			}
		}
	}
	for _, s := range n.suffixed {
		if v, ok := strings.CutSuffix(segment, s.text); ok && v != "" {
			values[count] = v
			if found, k := descend(s.node, count+1); found != nil {
				return found, k
			}
		}
	}
	if n.param != nil {
		values[count] = segment
		return descend(n.param, count+1)
	}
	return nil, 0
}

func (n *node) route(method string) *route {
	for i := range n.routes {
		if n.routes[i].method == method {
			return &n.routes[i]
		}
	}
	if method == http.MethodHead {
		return n.route(http.MethodGet)
	}
	return nil
}

// unescape decodes percent escapes; a plus sign stays one.
func unescape(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	return url.PathUnescape(s)
}
