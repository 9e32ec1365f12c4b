// Package random makes random text from the system's secure source.
package random

import (
	"crypto/rand"
	"encoding/base64"
)

// Alphabets.
const (
	LowerAlphanumeric = "0123456789abcdefghijklmnopqrstuvwxyz"
	UpperAlphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	MixedAlphanumeric = UpperAlphanumeric + "abcdefghijklmnopqrstuvwxyz"
)

// SecretLength is the length of what Secret returns.
const SecretLength = 43

// Secret returns 32 random bytes in URL-safe Base64 without padding.
func Secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// Text returns n characters of the alphabet (at most 256 of them), each
// equally likely.
func Text(n int, alphabet string) string {
	// Bytes at or above the greatest multiple of the alphabet's length are
	// thrown away: taking the remainder of them would favour its beginning.
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	buf := make([]byte, n+n/4+8)
	for len(out) < n {
		_, _ = rand.Read(buf) // never fails: it ends the program instead
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}
