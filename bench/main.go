// Command bench measures Weir beside what it can be compared with, on this
// machine and in one run, and prints a table of medians and ratios.
// docs/performance.md says what the figures mean.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

func main() {
	if len(os.Args) == 6 && os.Args[1] == bareArgument {
		fail(serveBare(os.Args[2], os.Args[3], os.Args[4], os.Args[5]))
		return
	}
	weir := flag.String("weir", "../bin/weir", "the `program` to measure")
	smoke := flag.Bool("smoke", false, "only show that everything runs; the figures mean nothing")
	flag.Parse()
	s := settings{weir: *weir, rounds: 3, length: time.Second, connections: []int{1, 32, 256}, objects: 1000}
	if *smoke {
		s.rounds, s.length, s.connections, s.objects = 1, 200*time.Millisecond, []int{1, 8}, 100
	}
	fail(run(context.Background(), s))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what is measured and for how long.
type settings struct {
	weir        string
	rounds      int
	length      time.Duration
	connections []int
	objects     int
}

const (
	// bareArgument makes the program the bare handler.
	bareArgument = "serve-bare"
	accounts     = "/iam/v2/service-accounts"
)

// contestant is what is loaded in turn.
type contestant struct {
	name    string
	process *process
	works   map[string]work
	// count is whether /metrics tells the allocations.
	count bool
}

func run(ctx context.Context, s settings) (err error) {
	folder, err := os.MkdirTemp("", "weir-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()

	w, err := startWeir(ctx, s, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.process.stop()) }()
	bare, err := startBare(ctx, w, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.process.stop()) }()
	rows, err := compare(ctx, s, []string{"read by id", "list of 100", "filtered list", "create", "patch"}, []*contestant{&w.contestant, bare})
	return errors.Join(err, printTable(os.Stdout, rows))
}

// compare loads the contestants in turn, round after round, and returns the
// medians. Weir is the first contestant; one that does not know a work is left
// out of it.
func compare(ctx context.Context, s settings, names []string, contestants []*contestant) ([]row, error) {
	var rows []row
	for _, name := range names {
		for _, connections := range s.connections {
			measured := make([][]result, len(contestants))
			for range s.rounds {
				for i, c := range contestants {
					w, known := c.works[name]
					if !known {
						continue
					}
					r, err := c.measure(ctx, w, connections, s.length)
					if err != nil {
						return rows, fmt.Errorf("%s: %w", c.name, err)
					}
					measured[i] = append(measured[i], r)
				}
			}
			var ours float64
			for i, results := range measured {
				if len(results) == 0 {
					continue
				}
				m := medians(results)
				if i == 0 {
					ours = m.rate
				}
				rows = append(rows, row{work: name, connections: connections, contestant: contestants[i].name, result: m, ratio: ours / m.rate})
			}
		}
	}
	return rows, nil
}

// measure loads one contestant, and counts what its process has used.
func (c *contestant) measure(ctx context.Context, w work, connections int, length time.Duration) (result, error) {
	cpu, err := c.process.cpu()
	if err != nil {
		return result{}, err
	}
	allocated := -1.0
	if c.count {
		allocated = c.process.mallocs(ctx)
	}
	r, err := load(c.process.address, w, connections, length)
	if err != nil {
		return r, err
	}
	after, err := c.process.cpu()
	if err != nil {
		return r, err
	}
	r.cpu = time.Duration(float64(after-cpu) / float64(r.done))
	if allocated >= 0 {
		r.allocations = (c.process.mallocs(ctx) - allocated) / float64(r.done)
	}
	return r, nil
}

// weir is a running Weir with everything on that a request can meet: rate
// limits too high to be reached, an IP filter, the audit log, durable commit.
type weir struct {
	contestant
	key, secret string
	ids         []string
}

func startWeir(ctx context.Context, s settings, folder string) (*weir, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(folder, "weir")
	arguments := []string{"serve", "--data-dir", data, "--listen", address, "--log-level", "error"}
	for _, limit := range []string{"rate-limit-address", "rate-limit-organization", "rate-limit-principal", "concurrency-limit-address", "concurrency-limit-organization", "concurrency-limit-principal"} {
		arguments = append(arguments, "--"+limit, "1000000")
	}
	p, took, err := start(ctx, address, "/readyz", "", "", exec.CommandContext(ctx, s.weir, arguments...)) //nolint:gosec // the caller's own program
	if err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(os.Stdout, "Weir answers its first request, on an empty folder, after %d ms.\n", took.Milliseconds())
	w := &weir{contestant: contestant{name: "Weir", process: p, count: true}}
	if err := w.prepare(ctx, s, data); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return w, nil
}

// prepare makes the filter and the objects, and what is measured of them.
func (w *weir) prepare(ctx context.Context, s settings, data string) error {
	text, err := os.ReadFile(filepath.Join(data, "credentials.env"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "CONFLUENT_CLOUD_API_KEY":
			w.key = value
		case "CONFLUENT_CLOUD_API_SECRET":
			w.secret = value
		}
	}
	quota := exec.CommandContext(ctx, s.weir, "quotas", "set", "iam.max_service_accounts.per_org", "10000000", "--data-dir", data) //nolint:gosec // the caller's own program
	if out, err := quota.CombinedOutput(); err != nil {
		return fmt.Errorf("raise the quota: %w: %s", err, out)
	}
	group, err := w.create(ctx, "/iam/v2/ip-groups", map[string]any{"group_name": "loopback", "cidr_blocks": []string{"127.0.0.0/8"}})
	if err != nil {
		return err
	}
	if _, err := w.create(ctx, "/iam/v2/ip-filters", map[string]any{
		"filter_name": "loopback", "resource_group": "management", "ip_groups": []any{map[string]any{"id": group}},
	}); err != nil {
		return err
	}
	for n := range s.objects {
		id, err := w.create(ctx, accounts, map[string]any{"display_name": fmt.Sprintf("account-%07d", n), "description": "Made to be read"})
		if err != nil {
			return err
		}
		w.ids = append(w.ids, id)
	}
	w.works = w.operations()
	return nil
}

func (w *weir) create(ctx context.Context, path string, body any) (string, error) {
	status, text, err := ask(ctx, "POST", "http://"+w.process.address+path, w.key, w.secret, body)
	if err != nil {
		return "", err
	}
	var made struct{ ID string }
	if status != 201 {
		return "", fmt.Errorf("POST %s: %d: %s", path, status, text)
	}
	return made.ID, json.Unmarshal(text, &made)
}

// operations are the requests to Weir.
func (w *weir) operations() map[string]work {
	var made atomic.Int64
	send := func(method, path, body string) []byte {
		return message(w.process.address, w.key, w.secret, method, path, body)
	}
	reads := make([][]byte, len(w.ids))
	for i, id := range w.ids {
		reads[i] = send("GET", accounts+"/"+id, "")
	}
	list := send("GET", accounts+"?page_size=100", "")
	filtered := send("GET", accounts+"?display_name=account-0000007", "")
	works := map[string]work{}
	for _, o := range []work{
		{"read by id", 200, func(c, n int) []byte { return reads[(c*7919+n)%len(reads)] }},
		{"list of 100", 200, func(_, _ int) []byte { return list }},
		{"filtered list", 200, func(_, _ int) []byte { return filtered }},
		{"create", 201, func(_, _ int) []byte {
			return send("POST", accounts, fmt.Sprintf(`{"display_name":"made-%d","description":"Made to be read"}`, made.Add(1)))
		}},
		{"patch", 200, func(c, n int) []byte {
			return send("PATCH", accounts+"/"+w.ids[(c*7919+n)%len(w.ids)], fmt.Sprintf(`{"description":"Changed %d"}`, made.Add(1)))
		}},
	} {
		works[o.name] = o
	}
	return works
}

// message is a request as it goes over the wire.
func message(address, key, secret, method, path, body string) []byte {
	m := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n", method, path, address,
		base64.StdEncoding.EncodeToString([]byte(key+":"+secret)))
	if body != "" {
		m = fmt.Appendf(m, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return append(append(m, "\r\n"...), body...)
}

// startBare starts the bare handler on the bytes that Weir answers with.
func startBare(ctx context.Context, w *weir, folder string) (*contestant, error) {
	for name, path := range map[string]string{"read": accounts + "/" + w.ids[0], "list": accounts + "?page_size=100"} {
		status, text, err := ask(ctx, "GET", "http://"+w.process.address+path, w.key, w.secret, nil)
		if err != nil {
			return nil, err
		}
		if status != 200 {
			return nil, fmt.Errorf("GET %s: %d: %s", path, status, text)
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, bareArgument, address, w.key, w.secret, folder) //nolint:gosec // this program itself
	p, _, err := start(ctx, address, "/read", w.key, w.secret, command)
	if err != nil {
		return nil, err
	}
	c := &contestant{name: "bare handler", process: p, works: map[string]work{}}
	for name, path := range map[string]string{"read by id": "/read", "list of 100": "/list"} {
		request := message(address, w.key, w.secret, "GET", path, "")
		c.works[name] = work{name, 200, func(_, _ int) []byte { return request }}
	}
	return c, nil
}
