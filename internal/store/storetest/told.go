package storetest

import (
	"strings"
	"sync"
	"time"

	"github.com/weirhq/weir/internal/store"
)

// hearing keeps what is told of the bench's own kind. The other tests tell each
// other things on the same database.
type hearing struct {
	mu    sync.Mutex
	texts []string
}

func (b *bench) hear(s store.Store) (h *hearing, stop func()) {
	h = &hearing{}
	return h, s.Hear(func(text string) {
		if strings.HasPrefix(text, b.kind) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.texts = append(h.texts, text)
		}
	})
}

// has reports whether the text, and nothing but it, was told.
func (h *hearing) has(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.texts {
		if other != text {
			panic("told " + other)
		}
	}
	return len(h.texts) > 0
}

// tellUntil tells the text again until all hear it: a text that is told before
// the line to others is there is lost.
func (b *bench) tellUntil(text string, all ...*hearing) {
	b.Helper()
	deadline := time.Now().Add(10 * promise)
	for _, h := range all {
		for !h.has(text) {
			if time.Now().After(deadline) {
				b.Fatal("what is told is not heard")
			}
			if err := b.Tell(b.ctx, text); err != nil {
				b.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func told(b *bench) {
	first, stop := b.hear(b)
	defer stop()
	second, stopSecond := b.hear(b)
	defer stopSecond()
	b.tellUntil(b.kind+" \"ü'; --"+strings.Repeat("x", 6900-len(b.kind)), first, second)
}

func hearingEnds(b *bench) {
	ended, stop := b.hear(b)
	goesOn, stopOther := b.hear(b)
	defer stopOther()
	text := b.kind + " is told"
	b.tellUntil(text, ended, goesOn)
	stop()
	ended.mu.Lock()
	before := len(ended.texts)
	ended.mu.Unlock()
	again, stopAgain := b.hear(b)
	defer stopAgain()
	b.tellUntil(text, again)
	if ended.mu.Lock(); len(ended.texts) != before {
		b.Error("it is called after its end")
	}
	ended.mu.Unlock()
}

func cannotBeTold(b *bench) {
	h, stop := b.hear(b)
	defer stop()
	for what, text := range map[string]string{
		"too long": b.kind + strings.Repeat("x", 7001), "NUL": b.kind + "\x00", "no UTF-8": b.kind + "\xff",
	} {
		if err := b.Tell(b.ctx, text); err == nil {
			b.Errorf("a text can be told that is %s", what)
		}
	}
	b.tellUntil(b.kind+" is told", h)
}
