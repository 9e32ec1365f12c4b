// Command bench measures Weir beside what it can be compared with, on this
// machine and in one run, and prints tables of medians and ratios.
// docs/performance.md says what the figures mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == bareArgument {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err := serveBare(ctx, os.Args[2])
		stop()
		fail(err)
		return
	}
	s, err := parseSettings(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		// Where nobody reads any more, the children have to be ended all the same.
		signal.Ignore(syscall.SIGPIPE)
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, s, os.Stdout, os.Stderr)
		stop()
	}
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run of everything that is measured.
type bench struct {
	settings
	// folder is removed at the end.
	folder string
	out    io.Writer
	// loud is told what could not be measured.
	loud io.Writer
	report
	// failures are what went wrong with single loads.
	failures []error
	// cleanups are what the part under way has to end, in the opposite order.
	cleanups []func() error
}

// atEnd has something done when the part under way ends.
func (b *bench) atEnd(do func() error) { b.cleanups = append(b.cleanups, do) }

// cleanUp ends what the part has started.
func (b *bench) cleanUp() (err error) {
	for _, do := range slices.Backward(b.cleanups) {
		err = errors.Join(err, do())
	}
	b.cleanups = nil
	return err
}

// parts are what can be measured apart from the rest, in this order.
var parts = []struct {
	name    string
	measure func(*bench, context.Context) error
}{
	{"sqlite", (*bench).sqlite},
	{"postgres", (*bench).postgres},
	{"replicas", (*bench).replicas},
	{"startup", (*bench).startup},
	{"million", (*bench).million},
	{"million-postgres", (*bench).millionPostgres},
}

// run measures the chosen parts and prints a table for each. What was measured
// before an error is printed all the same.
func run(ctx context.Context, s settings, out, loud io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	b := &bench{settings: s, folder: folder, out: out, loud: loud}
	defer func() {
		if len(b.figures) > 0 {
			err = errors.Join(err, b.printFigures(out))
		}
		err = errors.Join(err, b.printTargets(out, targets(), b.targetConnections()))
	}()
	for _, p := range parts {
		if slices.Contains(s.parts, p.name) {
			if err := errors.Join(p.measure(b, ctx), b.cleanUp()); err != nil {
				b.fail(fmt.Errorf("part %s: %w", p.name, err))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return errors.Join(b.failures...)
}

// fail notes what went wrong, without which the rest can be measured.
func (b *bench) fail(err error) {
	b.warn("%v", err)
	b.failures = append(b.failures, err)
}

// warn says loudly that something is missing from the figures.
func (b *bench) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(b.loud, "bench: WARNING: "+format+"\n", args...)
}
