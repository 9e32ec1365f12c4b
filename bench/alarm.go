package main

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm waits for moments. The timers of Go are late by up to a millisecond in a
// process that is idle, since it sleeps for whole ones; those of the kernel are
// not.
type alarm struct {
	file *os.File
	fd   int
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &alarm{os.NewFile(uintptr(fd), "timer"), fd}, nil
}

// wait returns at the moment, or at once when it has passed.
func (a *alarm) wait(until time.Time) error {
	left := time.Until(until)
	if left <= 0 {
		return nil
	}
	if err := unix.TimerfdSettime(a.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}, nil); err != nil {
		return err
	}
	var expired [8]byte
	n, err := a.file.Read(expired[:])
	if err == nil && n != len(expired) {
		err = errors.New("the timer says nothing")
	}
	return err
}

func (a *alarm) close() error { return a.file.Close() }
