package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// answerTimeout is how long a server may take beyond the length of a load.
const answerTimeout = 20 * time.Second

// over makes a work of requests to a server. The status is the only one that
// counts as done. request returns the n-th request of a connection, complete
// with header, or nil when there is none left; it runs on one goroutine for each
// connection, at once.
func over(address string, status int, request func(connection, n int) []byte) work {
	return work{open: func(connection int, length time.Duration) (operation, error) {
		conn, err := net.DialTimeout("tcp", address, 10*time.Second)
		if err != nil {
			return operation{}, err
		}
		if err := conn.SetDeadline(time.Now().Add(length + answerTimeout)); err != nil {
			return operation{}, errors.Join(err, conn.Close())
		}
		in := bufio.NewReaderSize(conn, 16<<10)
		return operation{
			do: func(n int) error {
				m := request(connection, n)
				if m == nil {
					return errUsedUp
				}
				if _, err := conn.Write(m); err != nil {
					return err
				}
				got, err := skipAnswer(in)
				if err == nil && got != status {
					err = fmt.Errorf("status %d, not %d: %q", got, status, bytes.SplitN(m, []byte("\r\n"), 2)[0])
				}
				return err
			},
			close: func() { _ = conn.Close() },
		}, nil
	}}
}

// always is the same request each time.
func always(request []byte) func(connection, n int) []byte {
	return func(int, int) []byte { return request }
}

// among spreads the connections over the requests.
func among(requests [][]byte) func(connection, n int) []byte {
	return func(connection, n int) []byte { return spread(requests, connection, n) }
}

// basic is the header that shows a key.
func basic(key, secret string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"+secret))
}

// message is a request as it goes over the wire. The header has lines without
// their ends; without a Content-Type in it the body is JSON.
func message(address, header, method, path, body string) []byte {
	m := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", method, path, address, header)
	if body != "" {
		if !bytes.Contains(m, []byte("Content-Type:")) {
			m = append(m, "Content-Type: application/json\r\n"...)
		}
		m = fmt.Appendf(m, "Content-Length: %d\r\n", len(body))
	}
	return append(append(m, "\r\n"...), body...)
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
