package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a contestant that runs in a process of its own.
type process struct {
	command *exec.Cmd
	address string
}

// start runs the command, which must serve at the address, and waits until the
// path answers the key with 200. It returns how long that took.
func start(ctx context.Context, address, path, key, secret string, command *exec.Cmd) (*process, time.Duration, error) {
	began := time.Now()
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return nil, 0, err
	}
	p := &process{command: command, address: address}
	for time.Since(began) < 20*time.Second {
		if status, _, err := ask(ctx, http.MethodGet, "http://"+address+path, key, secret, nil); err == nil && status == http.StatusOK {
			return p, time.Since(began), nil
		}
		time.Sleep(time.Millisecond)
	}
	return nil, 0, errors.Join(fmt.Errorf("%s does not answer", command.Path), p.stop())
}

// stop ends the process and waits until it has.
func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	kill := time.AfterFunc(10*time.Second, func() { _ = p.command.Process.Kill() })
	defer kill.Stop()
	// A process that a signal ends returns an error, which is what was asked for.
	_ = p.command.Wait()
	return nil
}

// cpu returns the processor time that the process has used, to 10 ms.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold spaces; user and system time are the
	// 12th and 13th field behind it, in hundredths of a second.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("/proc/<pid>/stat is too short")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// mallocs returns how many objects a Go server has allocated according to its
// /metrics, and -1 when it does not say.
func (p *process) mallocs(ctx context.Context) float64 {
	status, body, err := ask(ctx, http.MethodGet, "http://"+p.address+"/metrics", "", "", nil)
	if err != nil || status != http.StatusOK {
		return -1
	}
	for line := range strings.Lines(string(body)) {
		if value, found := strings.CutPrefix(line, "go_memstats_mallocs_total "); found {
			if n, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				return n
			}
		}
	}
	return -1
}

// ask sends one request with a Basic key and returns the answer.
func ask(ctx context.Context, method, url, key, secret string, body any) (int, []byte, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		in = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		return 0, nil, err
	}
	if key != "" {
		request.SetBasicAuth(key, secret)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// freeAddress returns a loopback address that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// serveBare is the limit: it checks a Basic key by one HMAC-SHA-256 and answers
// with the bytes of the file that is named like the path's last part.
func serveBare(address, key, secret, folder string) error {
	seed := []byte("the key of the hash")
	hash := func(s string) []byte {
		h := hmac.New(sha256.New, seed)
		_, _ = io.WriteString(h, s)
		return h.Sum(nil)
	}
	want := hash(secret)
	answers := map[string][]byte{}
	for _, name := range []string{"read", "list"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		answers["/"+name] = text
	}
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, given, _ := r.BasicAuth()
		if id != key || !hmac.Equal(hash(given), want) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		text := answers[r.URL.Path]
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = w.Write(text)
	})}
	return server.ListenAndServe()
}
