package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// work makes the requests of one kind of operation.
type work struct {
	name string
	// status is the only status code that counts as done.
	status int
	// request returns the n-th request of a connection, complete with header.
	// It runs on one goroutine for each connection, at once.
	request func(connection, n int) []byte
}

// result is what one load has measured.
type result struct {
	// rate is in requests a second.
	rate float64
	// done is how many requests were answered.
	done int
	// p50 and p99 are what half and 99 of 100 requests took at most.
	p50, p99 time.Duration
	// cpu is the server's processor time for each request, allocations the
	// objects that it has allocated for each; negative where unknown.
	cpu         time.Duration
	allocations float64
}

// load sends the work over so many connections for that long. Each connection
// sends its next request when it has read the answer to the one before. An
// answer with any other status than the work's is an error.
func load(address string, w work, connections int, length time.Duration) (result, error) {
	var (
		mu    sync.Mutex
		took  []time.Duration
		wrong []error
		group sync.WaitGroup
	)
	began := time.Now()
	end := began.Add(length)
	for i := range connections {
		group.Go(func() {
			mine, err := drive(address, w, i, end)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if err != nil {
				wrong = append(wrong, err)
			}
		})
	}
	group.Wait()
	passed := time.Since(began)
	if err := errors.Join(wrong...); err != nil {
		return result{}, fmt.Errorf("%s over %d connections: %w", w.name, connections, err)
	}
	if len(took) == 0 {
		return result{}, fmt.Errorf("%s over %d connections: nothing was answered", w.name, connections)
	}
	slices.Sort(took)
	return result{
		rate: float64(len(took)) / passed.Seconds(), done: len(took),
		p50: took[len(took)/2], p99: took[len(took)*99/100],
		cpu: -1, allocations: -1,
	}, nil
}

// drive sends requests over one connection until the end, and returns what
// each took.
func drive(address string, w work, connection int, end time.Time) ([]time.Duration, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(end.Add(20 * time.Second)); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(conn, 16<<10)
	var took []time.Duration
	for n := 0; ; n++ {
		sent := time.Now()
		if !sent.Before(end) {
			return took, nil
		}
		if _, err := conn.Write(w.request(connection, n)); err != nil {
			return took, err
		}
		status, err := skipAnswer(in)
		if err != nil {
			return took, err
		}
		if status != w.status {
			return took, fmt.Errorf("status %d, not %d", status, w.status)
		}
		took = append(took, time.Since(sent))
	}
}

// skipAnswer reads an HTTP/1.1 answer, drops it and returns its status. The
// generator shares the processors with the server, so it looks at nothing but
// what says where the answer ends.
func skipAnswer(in *bufio.Reader) (int, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("no HTTP/1.1 answer: %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, fmt.Errorf("no status in %q", line)
	}
	length, chunked := -1, false
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, fmt.Errorf("length of the answer: %q", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	switch {
	case chunked:
		return status, skipChunks(in)
	case length >= 0:
		_, err = in.Discard(length)
		return status, err
	case status == 204:
		return status, nil
	}
	return 0, errors.New("the answer does not say how long it is")
}

func skipChunks(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return fmt.Errorf("size of a chunk: %q", line)
		}
		if _, err := io.CopyN(io.Discard, in, int64(size)+2); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}
