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
	// aliveEvery is how often a process is heard when none has had anything to
	// report for the time of activeFor; before, it is heard with each tick.
	aliveEvery = time.Second
	activeFor  = 5 * time.Second
	// silentFor is how long a process is silent that is taken for gone.
	silentFor = 3 * time.Second

	// maxMessage is the length of a message in bytes, at most; maxReported the
	// number of callers of one limiter in the messages of one tick. Of others
	// the next tick tells.
	maxMessage  = 7000
	maxReported = 1000
	// maxHeard bounds the number of processes that are remembered.
	maxHeard = 1000
)

// Exchange shares limits among processes: each tells the others what it
// admitted and what it has under way, and charges what it is told to the same
// caller. It sends nothing by itself: messages go to all processes by a way that
// may lose some, or bring a process its own.
//
// A process that admits alone has the whole limit. Several together exceed it by
// what they admit between two messages, which is kept small by each taking no
// more than its part of what was available at the last one, and which counts
// against what they admit next. A process that is not heard any more does not
// count after three seconds; one that hears nobody has the limit for itself.
type Exchange struct {
	self     string
	limiters map[string]*Limiter
	places   map[string]*Places

	mu sync.Mutex
	// heard are the other processes.
	heard map[string]*process
	// spoke is when this one was heard last; it is zero when a newcomer should
	// hear of it. busy is whether it had something under way then.
	spoke time.Time
	busy  bool
	// active is when any process last had something to report.
	active time.Time
	ticks  uint64
	// epoch grows once all others were heard. Until then each is assumed to go on
	// as this one does, so that what comes late is not taken for nothing.
	epoch uint64
}

// process is what is known of another process.
type process struct {
	last time.Time
	// heard is whether it was in this epoch.
	heard bool
	// tick is that of the last message; several may have the same.
	tick uint64
	// underWay are places taken, by the name of the limit and the key.
	underWay numbers
}

// NewExchange returns the exchange of the process, which no other shares the
// name with, for limits by names that are the same in all processes.
func NewExchange(self string, limiters map[string]*Limiter, places map[string]*Places) *Exchange {
	return &Exchange{self: self, limiters: limiters, places: places, heard: make(map[string]*process)}
}

// message is what a process tells the others, as JSON.
type message struct {
	From string `json:"from"`
	// Tick counts the times that the process told anything.
	Tick uint64 `json:"tick"`
	// Admitted are requests since the tick before, UnderWay those of now.
	Admitted numbers `json:"admitted,omitempty"`
	UnderWay numbers `json:"under_way,omitempty"`
}

// numbers are numbers of requests by limit and key.
type numbers map[string]map[string]int

func (n *numbers) add(name, key string, requests int) {
	if *n == nil {
		*n = make(numbers)
	}
	if (*n)[name] == nil {
		(*n)[name] = make(map[string]int)
	}
	(*n)[name][key] += requests
}

// Replicas returns how many processes share the limits, this one included.
func (x *Exchange) Replicas() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return 1 + len(x.heard)
}

// Tick takes what was heard into account, and returns the messages to send now.
// It is called every ReportEvery.
func (x *Exchange) Tick(now time.Time) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	maps.DeleteFunc(x.heard, func(_ string, p *process) bool { return now.Sub(p.last) > silentFor })
	x.ticks++
	if waiting := slices.ContainsFunc(slices.Collect(maps.Values(x.heard)), func(p *process) bool { return !p.heard }); !waiting {
		x.epoch++
		for _, p := range x.heard {
			p.heard = false
		}
	}
	with := Sharing{Replicas: 1 + len(x.heard), Epoch: x.epoch}
	var messages []string
	m, size := message{From: x.self, Tick: x.ticks}, 0
	send := func() {
		text, _ := json.Marshal(m) // texts and numbers have no way to fail
		messages = append(messages, string(text))
		m.Admitted, m.UnderWay, size = nil, nil, 0
	}
	tell := func(in *numbers, name string, usage []Usage) {
		for _, u := range usage {
			// Quotes, a number and the name add little; half is left for what
			// JSON escapes.
			more := len(u.Key) + len(name) + 30
			if size > 0 && size+more > maxMessage/2 {
				send()
			}
			size += more
			in.add(name, u.Key, u.Requests)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.limiters)) {
		x.limiters[name].Share(with)
		tell(&m.Admitted, name, x.limiters[name].Report(maxReported))
	}
	busy := false
	for _, name := range slices.Sorted(maps.Keys(x.places)) {
		x.places[name].Share(with, x.elsewhere(name))
		if taken := x.places[name].Taken(maxReported); with.Replicas > 1 {
			tell(&m.UnderWay, name, taken)
			busy = busy || len(taken) > 0
		}
	}
	if size > 0 || len(messages) > 0 {
		x.active = now
	}
	due := now.Sub(x.spoke) >= aliveEvery || len(x.heard) > 0 && now.Sub(x.active) < activeFor
	if size > 0 || len(messages) == 0 && (due || x.busy && !busy) {
		send()
	}
	if x.busy = busy; len(messages) > 0 {
		x.spoke = now
	}
	return messages
}

// elsewhere returns the places that all other processes have taken.
func (x *Exchange) elsewhere(name string) map[string]int {
	taken := make(map[string]int)
	for _, p := range x.heard {
		for key, n := range p.underWay[name] {
			taken[key] += max(n, 0)
		}
	}
	return taken
}

// Hear takes a message. What it does not understand, such as that of another
// version, it leaves aside.
func (x *Exchange) Hear(text string, now time.Time) {
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil || m.From == "" || m.From == x.self {
		return
	}
	x.hearOf(m, now)
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

// hearOf notes who is there and what it has under way.
func (x *Exchange) hearOf(m message, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.heard[m.From]
	if p == nil {
		x.spoke = time.Time{} // at the next tick, so that it hears of this one
		if len(x.heard) >= maxHeard {
			return
		}
		p = &process{}
		x.heard[m.From] = p
	}
	if p.tick != m.Tick {
		p.tick, p.underWay = m.Tick, nil
	}
	p.last, p.heard = now, true
	if m.Admitted != nil || m.UnderWay != nil {
		x.active = now
	}
	for name, usage := range m.UnderWay {
		for key, n := range usage {
			p.underWay.add(name, key, n)
		}
	}
}
