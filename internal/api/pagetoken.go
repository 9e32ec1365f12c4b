package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// PageTokenTTL is how long a page token is good for. A list that is walked
// takes seconds; a token older than this is stale.
const PageTokenTTL = 24 * time.Hour

// PageToken is where a page of a list begins.
type PageToken struct {
	// After is the sequence number that the page begins behind (or, with
	// Backward, before).
	After    int64
	Backward bool
	// Size is the page size that the list was begun with.
	Size int
}

// PageTokens makes and checks page tokens. A token is opaque, carries a keyed
// hash over itself and over what it is bound to, and is 54 characters long
// (the API promises at most 255).
type PageTokens struct {
	// Key is secret and shared by all replicas, 32 bytes.
	Key []byte
	Now func() time.Time
}

// ErrPageToken is returned for every token that cannot be used, whatever the
// reason: which one it was helps only who forges them.
var ErrPageToken = errors.New("api: page token is not valid here")

const (
	pageTokenFormat  = 1
	pageTokenPayload = 1 + 1 + 2 + 8 + 8
	pageTokenMAC     = 20
)

// Seal returns the token as text. The binding is what the token is good for:
// the same organization, list and filters must be given to Open.
func (p PageTokens) Seal(t PageToken, binding string) string {
	b := make([]byte, pageTokenPayload, pageTokenPayload+pageTokenMAC)
	b[0] = pageTokenFormat
	if t.Backward {
		b[1] = 1
	}
	binary.BigEndian.PutUint16(b[2:], uint16(t.Size))
	binary.BigEndian.PutUint64(b[4:], uint64(t.After))
	binary.BigEndian.PutUint64(b[12:], uint64(p.Now().Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, p.mac(b, binding)...))
}

// Open checks the token and returns what it says, or ErrPageToken.
func (p PageTokens) Open(token, binding string) (PageToken, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	// The decoder passes over line breaks; a token has one form only.
	if err != nil || strings.ContainsAny(token, "\r\n") || len(b) != pageTokenPayload+pageTokenMAC || b[0] != pageTokenFormat {
		return PageToken{}, ErrPageToken
	}
	payload, mac := b[:pageTokenPayload], b[pageTokenPayload:]
	if subtle.ConstantTimeCompare(mac, p.mac(payload, binding)) != 1 {
		return PageToken{}, ErrPageToken
	}
	age := p.Now().Sub(time.Unix(int64(binary.BigEndian.Uint64(payload[12:])), 0))
	if age > PageTokenTTL || age < -time.Hour {
		return PageToken{}, ErrPageToken
	}
	return PageToken{
		After:    int64(binary.BigEndian.Uint64(payload[4:])),
		Backward: payload[1] == 1,
		Size:     int(binary.BigEndian.Uint16(payload[2:])),
	}, nil
}

func (p PageTokens) mac(payload []byte, binding string) []byte {
	h := hmac.New(sha256.New, p.Key)
	h.Write([]byte("weir page token\x00"))
	h.Write(payload)
	h.Write([]byte(binding))
	return h.Sum(nil)[:pageTokenMAC]
}
