package engine

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/random"
)

// IDShape is what a kind's identifiers look like.
type IDShape struct {
	// Prefix comes first: "sa-".
	Prefix string
	// Length is the number of random characters after it, each from Alphabet.
	Length   int
	Alphabet string
	// Exact says that identifiers of another length are not of the shape, for kinds
	// that share a Prefix and differ in Length. Without it Has takes any length:
	// clients may show one that this server has not made.
	Exact bool
}

// New returns a random identifier. An IDShape without a Length gives a
// version 4 UUID. Identifiers are not secrets, but cannot be predicted.
func (s IDShape) New() string {
	if s.Length == 0 {
		return s.Prefix + uuid.NewString()
	}
	return s.Prefix + random.Text(s.Length, s.Alphabet)
}

const (
	// runLength is how many identifiers in a row begin alike. They fill about one page
	// of an index.
	runLength = 64
	// runTail is how many characters at the end of such an identifier are its own.
	runTail = 3
)

// idRun is the state of a kind's identifiers that are drawn one after the other.
type idRun struct {
	mu sync.Mutex
	// head is how those of the run begin, and tails are the ends that were drawn.
	head  string
	tails map[string]bool
}

// next returns an identifier that is no other of its run.
func (r *idRun) next(s IDShape) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tails == nil || len(r.tails) == runLength {
		r.head, r.tails = random.Text(s.Length-runTail, s.Alphabet), make(map[string]bool, runLength)
	}
	for {
		if tail := random.Text(runTail, s.Alphabet); !r.tails[tail] {
			r.tails[tail] = true
			return s.Prefix + r.head + tail
		}
	}
}

// NewID returns a random identifier for a new object. Those that are drawn one after
// the other begin alike, so that they lie together in the database's index: each write
// that lands on a page of its own makes that page be written too. Those of more than
// eight characters are of kinds that stand for credentials, of which nobody should
// guess one from another; each is as random as New makes it.
func (k *Kind) NewID() string {
	// A smaller alphabet has too few ends for a run.
	if k.ID.Length <= runTail || k.ID.Length > 8 || len(k.ID.Alphabet) < 16 {
		return k.ID.New()
	}
	return k.stored().ids.next(k.ID)
}

// Has reports whether the text could be an identifier of this shape.
func (s IDShape) Has(id string) bool {
	rest, ok := strings.CutPrefix(id, s.Prefix)
	if ok && s.Length == 0 {
		parsed, err := uuid.Parse(rest)
		return err == nil && parsed.String() == rest
	}
	if !ok || s.Prefix == "" || rest == "" || len(id) > MaxID {
		return false
	}
	if s.Exact && len(rest) != s.Length {
		return false
	}
	for _, c := range []byte(rest) {
		if !strings.Contains(s.Alphabet, string(c)) {
			return false
		}
	}
	return true
}

// possibleID reports whether any object could have the text as its ID: it is text
// without control characters, and not too long.
func possibleID(id string) bool {
	return len(id) <= MaxID && utf8.ValidString(id) && !strings.ContainsFunc(id, unicode.IsControl)
}

// FoldASCII makes the ASCII letters of a text small and leaves all others as
// they are: folding the rest would make one name of two that are different to
// a mail server.
func FoldASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}

// MaxID is the greatest length of an identifier.
const MaxID = 255
