package apidocs

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// curl returns a command for a shell that calls the operation. What the reader
// must fill in is a shell variable: $WEIR_URL where the document names no
// server, $API_KEY, and one for each parameter.
func (r *reference) curl(o operation, parameters []*openapi3.Parameter, schemes []string, mediaType string, media *openapi3.MediaType) string {
	base := "$WEIR_URL"
	if len(r.doc.Servers) > 0 && strings.Contains(r.doc.Servers[0].URL, "://") {
		base = doubleQuoted(strings.TrimSuffix(r.doc.Servers[0].URL, "/"))
	}
	path := doubleQuoted(o.Path)
	var query []string
	for _, p := range parameters {
		switch {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", "${"+variable(p.Name)+"}")
		case p.In == "query" && p.Required:
			query = append(query, url.QueryEscape(p.Name)+"=${"+variable(p.Name)+"}")
		}
	}
	target := base + path
	if len(query) > 0 {
		target += "?" + strings.Join(query, "&")
	}
	lines := []string{`curl "` + target + `"`}
	if o.Method == http.MethodHead {
		lines[0] = `curl --head "` + target + `"`
	} else if o.Method != http.MethodGet {
		lines[0] = "curl --request " + o.Method + ` "` + target + `"`
	}
	if line := r.authorization(schemes); line != "" {
		lines = append(lines, line)
	}
	for _, p := range parameters {
		if p.In == "header" && p.Required {
			lines = append(lines, `--header "`+doubleQuoted(p.Name)+": ${"+variable(p.Name)+`}"`)
		}
	}
	if mediaType != "" {
		lines = append(lines, "--header "+singleQuoted("Content-Type: "+mediaType))
		lines = append(lines, "--data "+singleQuoted(r.payload(mediaType, media)))
	}
	return strings.Join(lines, " \\\n  ")
}

// authorization returns the argument that sends the first kind of credentials
// that the command line can show.
func (r *reference) authorization(schemes []string) string {
	for _, name := range schemes {
		s := r.securityScheme(name)
		basic := strings.Contains(name, "api-key")
		if s != nil {
			basic = s.Type == "http" && strings.EqualFold(s.Scheme, "basic")
		}
		if basic {
			return `--user "$API_KEY:$API_SECRET"`
		}
	}
	if len(schemes) > 0 {
		return `--header "Authorization: Bearer $ACCESS_TOKEN"`
	}
	return ""
}

func (r *reference) payload(mediaType string, media *openapi3.MediaType) string {
	if media == nil {
		return ""
	}
	value := media.Example
	for _, name := range slices.Sorted(maps.Keys(media.Examples)) {
		if e := media.Examples[name]; value == nil && e != nil && e.Value != nil {
			value = e.Value.Value
		}
	}
	if value == nil {
		value = r.example(resolve(r.doc, media.Schema), nil)
	}
	if !isJSON(mediaType) {
		fields, ok := value.(map[string]any)
		if !ok {
			return literal(value)
		}
		form := make(url.Values)
		for name, v := range fields {
			form.Set(name, literal(v))
		}
		return form.Encode()
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return "{}"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// example makes a value that the schema allows: of an object what is required,
// or all that can be written where nothing is. open are the schemas above.
func (r *reference) example(s *openapi3.Schema, open []*openapi3.Schema) any {
	if s == nil || slices.Contains(open, s) || len(open) >= maxDepth {
		return nil
	}
	open = append(open, s)
	s = effective(r.doc, s)
	switch {
	case s.Example != nil:
		return s.Example
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Const != nil:
		return s.Const
	case s.Default != nil:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type.Includes("array"):
		if item := r.example(resolve(r.doc, s.Items), open); item != nil {
			return []any{item}
		}
		return []any{}
	case s.Type.Includes("boolean"):
		return true
	case s.Type.Includes("integer"), s.Type.Includes("number"):
		if s.Min != nil {
			return *s.Min
		}
		return 1
	case s.Type.Includes("string"):
		switch s.Format {
		case "date-time":
			return "2026-01-31T12:00:00Z"
		case "date":
			return "2026-01-31"
		case "email":
			return "user@example.com"
		case "uri", "url":
			return "https://example.com"
		}
		return "string"
	case len(s.OneOf) > 0:
		return r.example(resolve(r.doc, s.OneOf[0]), open)
	case len(s.AnyOf) > 0:
		return r.example(resolve(r.doc, s.AnyOf[0]), open)
	}
	object := make(map[string]any)
	for _, all := range []bool{false, true} {
		for name, ref := range s.Properties {
			p := resolve(r.doc, ref)
			if p == nil || effective(r.doc, p).ReadOnly || !(all || slices.Contains(s.Required, name)) {
				continue
			}
			if v := r.example(p, open); v != nil {
				object[name] = v
			}
		}
		if len(object) > 0 {
			break
		}
	}
	return object
}

// variable turns the name of a parameter into that of a shell variable.
func variable(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z':
			return c - 'a' + 'A'
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
			return c
		}
		return '_'
	}, name)
}

// doubleQuoted escapes text for the inside of double quotes in a shell.
func doubleQuoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s)
}

// singleQuoted quotes text for a shell.
func singleQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
