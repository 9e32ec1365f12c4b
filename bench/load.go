package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// work is one kind of operation.
type work struct {
	// prepare makes what a load of that length uses up, before its time begins;
	// nil where there is nothing to make.
	prepare func(length time.Duration) error
	// open makes a connection ready for a load of that length. Several are opened
	// at once.
	open func(connection int, length time.Duration) (operation, error)
}

// operation is a connection that is open.
type operation struct {
	// do does the n-th operation of the connection.
	do    func(n int) error
	close func()
}

// errUsedUp ends a connection that has nothing left to do, and no load.
var errUsedUp = errors.New("nothing is left to work on")

// result is what one load has measured.
type result struct {
	// rate is in operations a second.
	rate float64
	// done is how many operations there were.
	done int
	// p50 and p99 are what half and 99 of 100 operations took at most.
	p50, p99 time.Duration
	// cpu is the processor time for each operation, allocations the objects that
	// were allocated for each; negative where unknown.
	cpu         time.Duration
	allocations float64
}

// spread returns what the n-th operation of a connection is about, so that
// connections do not all work on the same at one time.
func spread[T any](all []T, connection, n int) T { return all[(connection*7919+n)%len(all)] }

// load does the work over so many connections for that long. With a rate of 0
// each connection does its next operation when the one before is done; with
// another one operations are due so often a second, however long others take. Any
// error ends the load.
func load(w work, connections int, length time.Duration, rate float64) (result, error) {
	open, err := openAll(w, connections, length)
	defer func() {
		for _, o := range open {
			if o.close != nil {
				o.close()
			}
		}
	}()
	if err != nil {
		return result{}, err
	}
	took, wrong := make([][]time.Duration, connections), make([]error, connections)
	var group sync.WaitGroup
	began := time.Now()
	for i, o := range open {
		group.Go(func() {
			if rate == 0 {
				took[i], wrong[i] = drive(o, began.Add(length))
				return
			}
			interval := time.Duration(float64(connections) / rate * float64(time.Second))
			took[i], wrong[i] = pace(o, began.Add(interval*time.Duration(i)/time.Duration(connections)), began.Add(length), interval)
		})
	}
	group.Wait()
	passed := time.Since(began)
	all := slices.Concat(took...)
	if err := first(wrong); err != nil {
		return result{}, err
	}
	if len(all) == 0 {
		return result{}, errors.New("nothing was done")
	}
	slices.Sort(all)
	return result{
		rate: float64(len(all)) / passed.Seconds(), done: len(all),
		p50: all[len(all)/2], p99: all[len(all)*99/100],
		cpu: -1, allocations: -1,
	}, nil
}

// openAll opens the connections at once. Those that are open are returned with
// an error, too.
func openAll(w work, connections int, length time.Duration) ([]operation, error) {
	open, wrong := make([]operation, connections), make([]error, connections)
	var group sync.WaitGroup
	for i := range open {
		group.Go(func() { open[i], wrong[i] = w.open(i, length) })
	}
	group.Wait()
	return open, first(wrong)
}

// first is the first error of the connections, with how many have one.
func first(wrong []error) error {
	var found error
	failed := 0
	for _, err := range wrong {
		if err != nil {
			if failed++; found == nil {
				found = err
			}
		}
	}
	if found == nil {
		return nil
	}
	return fmt.Errorf("%d of %d connections failed, the first with: %w", failed, len(wrong), found)
}

// drive does one operation after the other until the end, and returns what each
// took.
func drive(o operation, end time.Time) ([]time.Duration, error) {
	var took []time.Duration
	for n := 0; ; n++ {
		sent := time.Now()
		if !sent.Before(end) {
			return took, nil
		}
		if err := o.do(n); errors.Is(err, errUsedUp) {
			return took, nil
		} else if err != nil {
			return took, err
		}
		took = append(took, time.Since(sent))
	}
}

// pace does an operation at the first moment and then one at each interval until
// the end, or as soon as it can after that, and returns what each took from the
// moment at which it was due.
func pace(o operation, due, end time.Time, interval time.Duration) (took []time.Duration, err error) {
	a, err := newAlarm()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	for n := 0; due.Before(end); n++ {
		if err := a.wait(due); err != nil {
			return took, err
		}
		if err := o.do(n); errors.Is(err, errUsedUp) {
			return took, nil
		} else if err != nil {
			return took, err
		}
		took = append(took, time.Since(due))
		due = due.Add(interval)
	}
	return took, nil
}
