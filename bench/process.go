package main

import (
	"bytes"
	"context"
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
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
	// keptStderr is how much of a child's standard error is kept, the end of it.
	keptStderr = 16 << 10
)

// process is a contestant that runs in a process of its own.
type process struct {
	command *exec.Cmd
	address string
	stderr  tail
	// ended is closed when the process has ended, with the error.
	ended chan struct{}
	err   error
	// stopped says that stop was called, cancelled that the context has ended.
	stopped   bool
	cancelled atomic.Bool
}

// start runs the command, which must serve at the address, and waits until the
// path answers the key with 200; the command must be one of the context. It returns how long that took. What the command
// writes to standard error is shown when it fails to start or ends wrongly.
func start(ctx context.Context, address, path, key, secret string, command *exec.Cmd) (*process, time.Duration, error) {
	p := &process{command: command, address: address, ended: make(chan struct{})}
	command.Stderr = &p.stderr
	command.Cancel = func() error {
		p.cancelled.Store(true)
		return command.Process.Signal(syscall.SIGTERM)
	}
	command.WaitDelay = stopTimeout
	began := time.Now()
	if err := command.Start(); err != nil {
		return nil, 0, err
	}
	go func() {
		p.err = command.Wait()
		close(p.ended)
	}()
	for time.Since(began) < startTimeout {
		if status, _, err := ask(ctx, http.MethodGet, "http://"+address+path, key, secret, nil); err == nil && status == http.StatusOK {
			return p, time.Since(began), nil
		}
		select {
		case <-p.ended:
			return nil, 0, p.stop()
		case <-ctx.Done():
			return nil, 0, errors.Join(ctx.Err(), p.stop())
		case <-time.After(time.Millisecond):
		}
	}
	return nil, 0, errors.Join(p.wrong("does not answer"), p.stop())
}

// start is start with an end when the part under way ends.
func (b *bench) start(ctx context.Context, address, path, key, secret string, command *exec.Cmd) (*process, time.Duration, error) {
	p, took, err := start(ctx, address, path, key, secret, command)
	if err == nil {
		b.atEnd(p.stop)
	}
	return p, took, err
}

// stop ends the process and waits until it has; later calls do nothing. It is an
// error if the process ended before, or otherwise than the signal makes it.
func (p *process) stop() error {
	if p.stopped {
		return nil
	}
	p.stopped = true
	select {
	case <-p.ended:
		if p.cancelled.Load() {
			return nil
		}
		return p.wrong(fmt.Sprintf("ended by itself (%v)", p.err))
	default:
	}
	// An error means that it has ended just now, which Wait tells better.
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		_ = p.command.Process.Kill()
		<-p.ended
		return p.wrong(fmt.Sprintf("does not end within %s of being asked to", stopTimeout))
	}
	if !endedAsAsked(p.err) {
		return p.wrong(fmt.Sprintf("ended wrongly (%v)", p.err))
	}
	return nil
}

// endedAsAsked reports whether the error of a process is none, or says that
// SIGTERM ended it: at once, or by the exit status that shells give for it.
func endedAsAsked(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err == nil
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && (status.Signaled() && status.Signal() == syscall.SIGTERM || status.ExitStatus() == 128+int(syscall.SIGTERM))
}

// wrong is an error with what the process has written to standard error.
func (p *process) wrong(what string) error {
	return fmt.Errorf("%s %s; it wrote:\n%s", filepath.Base(p.command.Path), what, p.stderr.String())
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - keptStderr; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// usage is the processor time and the allocations of the process.
func (p *process) usage(ctx context.Context) (usage, error) {
	cpu, err := p.cpu()
	return usage{cpu: cpu, allocations: p.mallocs(ctx)}, err
}

// cpu returns the processor time that the process has used, to 10 ms.
func (p *process) cpu() (time.Duration, error) {
	text, err := p.proc("stat")
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

// memory returns how much of the process is in memory, in bytes.
func (p *process) memory() (int64, error) {
	text, err := p.proc("status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("/proc/<pid>/status does not tell the memory")
}

func (p *process) proc(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.command.Process.Pid), name))
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

// ask sends one request, with a Basic key if there is one, and returns the
// answer.
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
