package oauth

import (
	"testing"
)

// BenchmarkExchange is a whole exchange, with the provider's keys in memory:
// one RSA signature checked, one ECDSA signature made.
func BenchmarkExchange(b *testing.B) {
	w := newWorld(b)
	body := form(w.pool, w.issuer.Token(nil))
	if _, err := exchange(b, w.Service, body); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := exchange(b, w.Service, body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBearer finds the caller behind a token: one that was exchanged and
// seen before, the same for the first time, and one of the provider.
func BenchmarkBearer(b *testing.B) {
	w := newWorld(b)
	raw := w.issuer.Token(nil)
	access, err := exchange(b, w.Service, form(w.pool, raw))
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw    string
		before func()
	}{
		"Exchanged":          {access, func() {}},
		"ExchangedFirstTime": {access, w.verified.Purge},
		"External":           {raw, func() {}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.before()
				if _, err := w.bearer(b, c.raw, w.pool); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
