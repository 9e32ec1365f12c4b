package clientaddr

import (
	"net/netip"
	"strings"
)

// cutLast splits a list at its last comma and trims the item after it.
func cutLast(list string) (rest, last string) {
	i := strings.LastIndexByte(list, ',')
	return list[:max(i, 0)], trimOWS(list[i+1:])
}

// cutLastQuoted is cutLast for lists whose items can hold quoted strings with
// commas in them. It scans from the end, so that a quote which a client left
// open cannot swallow what a proxy appended after it.
func cutLastQuoted(list string) (rest, last string) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch list[i] {
		case '"':
			if !quoted || !escaped(list, i) {
				quoted = !quoted
			}
		case ',':
			if !quoted {
				return list[:i], trimOWS(list[i+1:])
			}
		}
	}
	return "", trimOWS(list)
}

// escaped reports whether an odd number of backslashes stands before s[i].
func escaped(s string, i int) bool {
	before := strings.TrimRight(s[:i], `\`)
	return (i-len(before))%2 == 1
}

// element is what one proxy says in a Forwarded header; of its parameters only
// those that are used here.
type element struct {
	node, proto string
}

// parseElement reads a forwarded-element of RFC 7239 section 4, and reports
// whether it is well-formed. Values that hold colons or brackets without the
// quotes that the RFC demands are read too, since proxies send them.
func parseElement(s string) (element, bool) {
	var e element
	seen := map[string]bool{}
	for {
		// The grammar allows empty parameters anywhere.
		if s = strings.TrimLeft(s, "; \t"); s == "" {
			return e, true
		}
		name, rest, ok := strings.Cut(s, "=")
		name = strings.ToLower(name)
		if !ok || !isToken(name) || seen[name] {
			return element{}, false
		}
		seen[name] = true
		value, rest, ok := cutValue(rest)
		if !ok {
			return element{}, false
		}
		switch name {
		case "for":
			e.node = value
		case "proto":
			e.proto = value
		}
		if s = trimOWS(rest); s != "" && s[0] != ';' {
			return element{}, false
		}
	}
}

// cutValue takes a token or a quoted string, without its quotes and escapes,
// off the beginning of s.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, "; \t")
		if i < 0 {
			i = len(s)
		}
		return s[:i], s[i:], i > 0 && !strings.ContainsAny(s[:i], `"\,=`)
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// forwardedFor returns the address in an item of a Forwarded header.
func forwardedFor(item string) (netip.Addr, bool) {
	e, ok := parseElement(item)
	if !ok {
		return netip.Addr{}, false
	}
	return parseNode(e.node)
}

// parseNode reads an address that may have brackets, if it is of IPv6, and a
// port after it, which for Forwarded may be obfuscated ("_name"). It reports
// false for everything else, such as "unknown" and obfuscated names.
func parseNode(s string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		host, port, ok := strings.Cut(inner, "]")
		if !ok || port != "" && !isPort(port) {
			return netip.Addr{}, false
		}
		addr, err := netip.ParseAddr(host)
		return plain(addr), err == nil && addr.Is6()
	}
	if host, port, ok := strings.Cut(s, ":"); ok && isPort(":"+port) {
		if addr, err := netip.ParseAddr(host); err == nil {
			return plain(addr), true
		}
	}
	addr, err := netip.ParseAddr(s)
	return plain(addr), err == nil
}

// isPort reports whether s is a colon and a port number or an obfuscated port.
func isPort(s string) bool {
	s, ok := strings.CutPrefix(s, ":")
	if !ok || s == "" {
		return false
	}
	name, obfuscated := strings.CutPrefix(s, "_")
	if !obfuscated && len(s) > 5 || name == "" {
		return false
	}
	for i := range len(name) {
		digit := name[i] >= '0' && name[i] <= '9'
		if !digit && (!obfuscated || !isAlphanumeric(name[i]) && strings.IndexByte("._-", name[i]) < 0) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func trimOWS(s string) string {
	return strings.Trim(s, " \t")
}
