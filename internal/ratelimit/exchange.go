package ratelimit

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// ReportEvery is the time between two calls of [Exchange.Tick].
	ReportEvery = 250 * time.Millisecond
	// aliveEvery is how often a process is heard that has nothing to report,
	// and silentFor how long one is silent that is taken for gone.
	aliveEvery = time.Second
	silentFor  = 3 * time.Second

	// maxMessage is the length of a message in bytes, at most; maxReported the
	// number of callers of one limiter in the messages of one tick. Of others
	// the next tick tells.
	maxMessage  = 7000
	maxReported = 1000
	// maxHeard bounds the number of processes that are remembered.
	maxHeard = 1000
)

// Exchange shares limits among processes: each tells the others what it
// admitted, and charges what it is told to the same caller. It sends nothing by
// itself: messages go to all processes by a way that may lose some, or bring a
// process its own.
//
// A process that admits alone has the whole limit. Several together exceed it by
// what they admit between two messages, which is kept small by each taking no
// more than its part of what was available at the last one, and which counts
// against what they admit next. A process that is not heard any more does not
// count after three seconds; one that hears nobody has the limit for itself.
type Exchange struct {
	self     string
	limiters map[string]*Limiter

	mu sync.Mutex
	// heard is when each other process was heard last.
	heard map[string]time.Time
	// spoke is when this one was heard last; it is zero when a newcomer should
	// hear of it.
	spoke time.Time
	epoch uint64
}

// NewExchange returns the exchange of the process, which no other shares the
// name with, for limiters by names that are the same in all processes.
func NewExchange(self string, limiters map[string]*Limiter) *Exchange {
	return &Exchange{self: self, limiters: limiters, heard: make(map[string]time.Time)}
}

// message is what a process tells the others, as JSON.
type message struct {
	From string `json:"from"`
	// Admitted are numbers of requests by limiter and key.
	Admitted map[string]map[string]int `json:"admitted,omitempty"`
}

// Replicas returns how many processes share the limits, this one included.
func (x *Exchange) Replicas() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return 1 + len(x.heard)
}

// Tick returns the messages to send now. It is called every ReportEvery.
func (x *Exchange) Tick(now time.Time) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.heard, func(_ string, last time.Time) bool { return now.Sub(last) > silentFor })
	x.epoch++
	var messages []string
	m := message{From: x.self}
	size := 0
	send := func() {
		text, _ := json.Marshal(m) // texts and numbers have no way to fail
		messages = append(messages, string(text))
		m.Admitted, size = nil, 0
	}
	for _, name := range slices.Sorted(maps.Keys(x.limiters)) {
		l := x.limiters[name]
		l.Share(Sharing{Replicas: 1 + len(x.heard), Epoch: x.epoch})
		for _, u := range l.Report(maxReported) {
			// Quotes, a number and the name add little; half is left for what
			// JSON escapes.
			more := len(u.Key) + len(name) + 30
			if size > 0 && size+more > maxMessage/2 {
				send()
			}
			size += more
			if m.Admitted == nil {
				m.Admitted = make(map[string]map[string]int)
			}
			if m.Admitted[name] == nil {
				m.Admitted[name] = make(map[string]int)
			}
			m.Admitted[name][u.Key] += u.Requests
		}
	}
	if m.Admitted != nil || len(messages) == 0 && now.Sub(x.spoke) >= aliveEvery {
		send()
	}
	if len(messages) > 0 {
		x.spoke = now
	}
	return messages
}

// Hear takes a message. What it does not understand, such as that of another
// version, it leaves aside.
func (x *Exchange) Hear(text string, now time.Time) {
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil || m.From == "" || m.From == x.self {
		return
	}
	x.mu.Lock()
	if _, known := x.heard[m.From]; !known {
		x.spoke = time.Time{} // at the next tick, so that it hears of this one
	}
	if _, known := x.heard[m.From]; known || len(x.heard) < maxHeard {
		x.heard[m.From] = now
	}
	x.mu.Unlock()
	for name, usage := range m.Admitted {
		l := x.limiters[name]
		if l == nil {
			continue
		}
		for key, n := range usage {
			l.Charge(Usage{key, n}, now)
		}
	}
}
