package clientaddr_test

import "testing"

func TestLocal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		peer  string
		lines []string
		want  bool
	}{
		{"this machine", "127.0.0.1:4000", nil, true},
		{"this machine, IPv6", "[::1]:4000", nil, true},
		{"another machine", "203.0.113.5:4000", nil, false},
		{"another machine that says loopback", "203.0.113.5:4000", []string{"X-Forwarded-For: 127.0.0.1"}, false},
		{"a trusted proxy here, asking for itself", "127.0.0.2:4000", nil, true},
		{"a trusted proxy here, for another", "127.0.0.2:4000", []string{"X-Forwarded-For: 203.0.113.5"}, false},
		{"a trusted proxy here, for it does not say whom", "127.0.0.2:4000", []string{"X-Forwarded-For: unknown"}, false},
		{"a trusted proxy here that tells of plain HTTP alone", "127.0.0.2:4000", []string{"X-Forwarded-Proto: http"}, false},
		{"a trusted proxy here, in the other form", "127.0.0.2:4000", []string{"Forwarded: for=unknown;proto=http"}, false},
		{"a proxy here that is not trusted", "127.0.0.1:4000", []string{"X-Forwarded-For: 203.0.113.5"}, true},
	} {
		if got := mustProxies(t, "127.0.0.2").Local(request(test.peer, test.lines...)); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
