package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"
)

// The names of single figures.
const (
	readyEmpty   = "first answer, on an empty folder"
	readyAgain   = "first answer, on a folder that has an organization"
	idleMemory   = "memory, idle"
	loadedMemory = "memory, loaded"

	seconds      = "s"
	milliseconds = "ms"
	megabytes    = "MB"
)

// startup measures how long Weir takes to its first answer, and its memory.
func (b *bench) startup(ctx context.Context) error {
	var empty, again []float64
	for i := range b.starts() {
		data := filepath.Join(b.folder, fmt.Sprintf("startup-%d", i))
		for _, took := range []*[]float64{&empty, &again} {
			w, err := b.startWeir(ctx, weirName, data, "")
			if err != nil {
				return err
			}
			*took = append(*took, inMilliseconds(w.took))
			if err := w.process.stop(); err != nil {
				return err
			}
		}
	}
	b.add(readyEmpty, median(empty), milliseconds)
	b.add(readyAgain, median(again), milliseconds)
	return b.startupMemory(ctx)
}

// starts is how often Weir is started where that is measured.
func (s *settings) starts() int {
	if s.smoke {
		return 1
	}
	return 5
}

// startupMemory starts Weir on an empty folder and measures its memory before
// anybody has asked anything, and under load.
func (b *bench) startupMemory(ctx context.Context) error {
	w, err := b.startWeir(ctx, weirName, filepath.Join(b.folder, "memory"), "")
	if err != nil {
		return err
	}
	idle, err := b.idle(ctx, w)
	if err != nil {
		return err
	}
	b.add(idleMemory, idle, megabytes)
	if err := b.ready(ctx, w); err != nil {
		return err
	}
	loaded, err := b.loaded(ctx, w)
	b.add(loadedMemory, loaded, megabytes)
	return err
}

// idle returns the memory of a Weir that has come to rest after its start.
func (b *bench) idle(ctx context.Context, w *weir) (float64, error) {
	rest := 3 * time.Second
	if b.smoke {
		rest = 300 * time.Millisecond
	}
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	memory, err := w.process.memory()
	return inMegabytes(memory), err
}

// loaded returns the greatest memory while Weir is loaded with each kind of work
// over all the connections.
func (b *bench) loaded(ctx context.Context, w *weir) (float64, error) {
	var most atomic.Int64
	var failed error
	looking, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for looking.Err() == nil {
			memory, err := w.process.memory()
			if err != nil {
				failed = err
				return
			}
			most.Store(max(most.Load(), memory))
			time.Sleep(20 * time.Millisecond)
		}
	}()
	var err error
	for _, name := range []string{readByID, listOf100, create} {
		if err == nil {
			_, err = load(w.works[name], b.connections[len(b.connections)-1], b.length, 0)
		}
	}
	stop()
	<-done
	return inMegabytes(most.Load()), errors.Join(err, failed)
}

func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func inMegabytes(bytes int64) float64 { return float64(bytes) / 1e6 }
