package api_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/weirhq/weir/internal/api"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// tokensAt returns the maker of tokens at an instant.
func tokensAt(now time.Time) api.PageTokens {
	return api.PageTokens{Key: bytes.Repeat([]byte{7}, 32), Now: func() time.Time { return now }}
}

const binding = "org\x00listIamV2ServiceAccounts\x00\x00display_name=a"

func TestPageTokenRoundTrip(t *testing.T) {
	t.Parallel()
	tokens := tokensAt(start)
	for _, want := range []api.PageToken{
		{},
		{After: 1, Size: 10},
		{After: 1, Size: 10, Backward: true},
		{After: math.MaxInt64, Size: math.MaxUint16, Backward: true},
	} {
		token := tokens.Seal(want, binding)
		if len(token) > 255 {
			t.Errorf("%+v: the token has %d characters", want, len(token))
		}
		if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q needs escaping in a URL", token)
		}
		got, err := tokens.Open(token, binding)
		if err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
	}
}

func TestPageTokenLengthDoesNotDependOnWhatItIsFor(t *testing.T) {
	t.Parallel()
	tokens := tokensAt(start)
	short := tokens.Seal(api.PageToken{}, "")
	long := tokens.Seal(api.PageToken{After: math.MaxInt64, Size: 1000, Backward: true}, strings.Repeat("filter", 10_000))
	if len(short) != len(long) {
		t.Errorf("tokens have %d and %d characters", len(short), len(long))
	}
}

func refused(t *testing.T, what string, tokens api.PageTokens, token, binding string) {
	t.Helper()
	got, err := tokens.Open(token, binding)
	if !errors.Is(err, api.ErrPageToken) {
		t.Errorf("%s: the error is %v, want ErrPageToken", what, err)
	}
	if got != (api.PageToken{}) {
		t.Errorf("%s: what the token says was given out: %+v", what, got)
	}
}

func TestPageTokenIsTamperEvident(t *testing.T) {
	t.Parallel()
	tokens := tokensAt(start)
	token := tokens.Seal(api.PageToken{After: 42, Size: 10}, binding)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(raw) * 8 {
		raw[bit/8] ^= 1 << (bit % 8)
		refused(t, "a flipped bit", tokens, base64.RawURLEncoding.EncodeToString(raw), binding)
		raw[bit/8] ^= 1 << (bit % 8)
	}
	// The last character has bits that stand for nothing: they count too.
	text := []byte(token)
	for bit := range len(text) * 8 {
		text[bit/8] ^= 1 << (bit % 8)
		refused(t, "a flipped bit of the text", tokens, string(text), binding)
		text[bit/8] ^= 1 << (bit % 8)
	}
	for n := range len(token) {
		refused(t, "a shortened token", tokens, token[:n], binding)
	}
	refused(t, "padding", tokens, token+"=", binding)
	refused(t, "more text", tokens, token+"AAAA", binding)
	refused(t, "a token twice", tokens, token+token, binding)
}

func TestPageTokenIsBound(t *testing.T) {
	t.Parallel()
	tokens := tokensAt(start)
	token := tokens.Seal(api.PageToken{After: 42, Size: 10}, binding)
	for _, other := range []string{"", binding + "x", binding[1:], strings.Replace(binding, "org", "org2", 1), strings.ReplaceAll(binding, "\x00", "")} {
		refused(t, "another binding", tokens, token, other)
	}
	other := tokens
	other.Key = bytes.Repeat([]byte{8}, 32)
	refused(t, "another key", other, token, binding)
}

func TestPageTokenAges(t *testing.T) {
	t.Parallel()
	token := tokensAt(start).Seal(api.PageToken{After: 42, Size: 10}, binding)
	for _, c := range []struct {
		name string
		age  time.Duration
		good bool
	}{
		{"at once", 0, true},
		{"as old as allowed", api.PageTokenTTL, true},
		{"stale", api.PageTokenTTL + time.Second, false},
		{"very old", 100 * 365 * 24 * time.Hour, false},
		{"from a replica whose clock is ahead", -time.Minute, true},
		{"from the future", -2 * time.Hour, false},
	} {
		tokens := tokensAt(start.Add(c.age))
		if !c.good {
			refused(t, c.name, tokens, token, binding)
		} else if _, err := tokens.Open(token, binding); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	tokens := tokensAt(start)
	good := tokens.Seal(api.PageToken{After: 42, Size: 10, Backward: true}, binding)
	f.Add(good, binding)
	f.Add(good, "")
	f.Add("", "")
	f.Add("AQ", binding)
	f.Add(good[:20]+"\n"+good[20:], binding)
	f.Add(strings.Repeat("A", 54), binding)
	f.Fuzz(func(t *testing.T, token, bound string) {
		got, err := tokens.Open(token, bound)
		if err != nil {
			if !errors.Is(err, api.ErrPageToken) || got != (api.PageToken{}) {
				t.Fatalf("refused with %+v, %v", got, err)
			}
			return
		}
		// Nobody makes a token without the key. Base64 skips line ends.
		if plain := strings.NewReplacer("\r", "", "\n", "").Replace(token); plain != good || bound != binding {
			t.Fatalf("token %q for %q was taken: %+v", token, bound, got)
		}
	})
}
