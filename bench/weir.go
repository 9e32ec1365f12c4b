package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// accounts is the path of the objects that are measured.
const accounts = "/iam/v2/service-accounts"

// weir is a running Weir with everything on that a request can meet: rate
// limits too high to be reached, an IP filter, the audit log, durable commit.
type weir struct {
	contestant
	// took is how long it was from the start to the first answer.
	took time.Duration
	// data is the data folder, database the URL of a PostgreSQL database or "".
	data, database string
	key, secret    string
	// organization is the ID of the organization.
	organization string
	// ids are service accounts that stay.
	ids []string
	// exchange is the form that exchanges a token, "" where there is no pool.
	exchange string
}

// withoutCache is for a Weir that asks the database each time.
var withoutCache = []string{"--cache-size", "0"}

// startWeir starts Weir on the data folder and the database, with more flags.
func (b *bench) startWeir(ctx context.Context, name, data, database string, flags ...string) (*weir, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	arguments := []string{"serve", "--data-dir", data, "--database-url", database, "--listen", address, "--log-level", "error"}
	for _, limit := range []string{"rate-limit-address", "rate-limit-organization", "rate-limit-principal", "concurrency-limit-address", "concurrency-limit-organization", "concurrency-limit-principal"} {
		arguments = append(arguments, "--"+limit, "1000000")
	}
	arguments = append(arguments, flags...)
	p, took, err := b.start(ctx, address, "/readyz", "", "", exec.CommandContext(ctx, b.weir, arguments...)) //nolint:gosec // the caller's own program
	if err != nil {
		return nil, err
	}
	w := &weir{contestant: contestant{name: name, usage: p.usage, process: p}, took: took, data: data, database: database}
	return w, w.readCredentials()
}

// startFilled is startWeir on an empty folder or database, with a filter and
// objects, ready to be loaded.
func (b *bench) startFilled(ctx context.Context, name, folder, database string, flags ...string) (*weir, error) {
	w, err := b.startWeir(ctx, name, filepath.Join(b.folder, folder), database, flags...)
	if err != nil {
		return nil, err
	}
	return w, b.ready(ctx, w)
}

// again stops Weir and starts it on its data folder, with other flags and the same
// objects.
func (b *bench) again(ctx context.Context, w *weir, flags ...string) (*weir, error) {
	if err := w.process.stop(); err != nil {
		return nil, err
	}
	next, err := b.startWeir(ctx, w.name, w.data, w.database, flags...)
	if err != nil {
		return nil, err
	}
	next.ids = w.ids
	next.works = next.operations(ctx)
	return next, nil
}

// ready makes the filter, the objects and an identity pool, and the works on them.
func (b *bench) ready(ctx context.Context, w *weir) error {
	if err := b.raiseQuota(ctx, w); err != nil {
		return err
	}
	if err := w.filter(ctx); err != nil {
		return err
	}
	if err := w.fill(ctx, b.objects); err != nil {
		return err
	}
	if err := b.addIssuer(ctx, w); err != nil {
		return err
	}
	w.works = w.operations(ctx)
	return nil
}

// readCredentials reads what the first start has made. A replica that joins a
// database later has none.
func (w *weir) readCredentials() error {
	text, err := os.ReadFile(filepath.Join(w.data, "credentials.env"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
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
		case "WEIR_ORGANIZATION_ID":
			w.organization = value
		}
	}
	return nil
}

// raiseQuota lets an organization have as many service accounts as are made.
func (b *bench) raiseQuota(ctx context.Context, w *weir) error {
	quota := exec.CommandContext(ctx, b.weir, "quotas", "set", "iam.max_service_accounts.per_org", "100000000", //nolint:gosec // the caller's own program
		"--data-dir", w.data, "--database-url", w.database)
	if out, err := quota.CombinedOutput(); err != nil {
		return fmt.Errorf("raise the quota: %w: %s", err, out)
	}
	return nil
}

// filter adds an IP filter, which lets loopback in.
func (w *weir) filter(ctx context.Context) error {
	group, err := w.create(ctx, "/iam/v2/ip-groups", map[string]any{"group_name": "loopback", "cidr_blocks": []string{"127.0.0.0/8"}})
	if err != nil {
		return err
	}
	_, err = w.create(ctx, "/iam/v2/ip-filters", map[string]any{
		"filter_name": "loopback", "resource_group": "management", "ip_groups": []any{map[string]any{"id": group}},
	})
	return err
}

func accountName(n int) string { return fmt.Sprintf("account-%07d", n) }

const accountDescription = "Made to be read"

// fill makes service accounts.
func (w *weir) fill(ctx context.Context, objects int) error {
	for n := range objects {
		id, err := w.create(ctx, accounts, map[string]any{"display_name": accountName(n), "description": accountDescription})
		if err != nil {
			return err
		}
		w.ids = append(w.ids, id)
	}
	return nil
}

func (w *weir) create(ctx context.Context, path string, body any) (string, error) {
	status, text, err := ask(ctx, http.MethodPost, "http://"+w.process.address+path, w.key, w.secret, body)
	if err != nil {
		return "", err
	}
	var made struct{ ID string }
	if status != http.StatusCreated {
		return "", fmt.Errorf("POST %s: %d: %s", path, status, text)
	}
	return made.ID, json.Unmarshal(text, &made)
}

// get returns what is at the path.
func (w *weir) get(ctx context.Context, path string) ([]byte, error) {
	status, text, err := ask(ctx, http.MethodGet, "http://"+w.process.address+path, w.key, w.secret, nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d: %s", path, status, text)
	}
	return text, err
}

// account is what a list tells of a service account.
type account struct {
	ID   string `json:"id"`
	Name string `json:"display_name"`
}

// page returns a page of a list, and the path of the next page or "".
func (w *weir) page(ctx context.Context, path string) (listed []account, next string, err error) {
	text, err := w.get(ctx, path)
	if err != nil {
		return nil, "", err
	}
	var list struct {
		Metadata struct{ Next string }
		Data     []account
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, "", err
	}
	if i := strings.Index(list.Metadata.Next, accounts); i >= 0 {
		next = list.Metadata.Next[i:]
	}
	return list.Data, next, nil
}

// reads are requests for the service accounts that stay.
func (w *weir) reads(send func(method, path, body string) []byte) [][]byte {
	reads := make([][]byte, len(w.ids))
	for i, id := range w.ids {
		reads[i] = send(http.MethodGet, accounts+"/"+id, "")
	}
	return reads
}

// operations are the requests to Weir.
func (w *weir) operations(ctx context.Context) map[string]work {
	var made atomic.Int64
	address, header := w.process.address, basic(w.key, w.secret)
	send := func(method, path, body string) []byte { return message(address, header, method, path, body) }
	prefix := "made at " + address + " "
	creation := over(address, http.StatusCreated, func(int, int) []byte {
		return send(http.MethodPost, accounts, fmt.Sprintf(`{"display_name":"%s%d","description":%q}`, prefix, made.Add(1), accountDescription))
	})
	works := map[string]work{
		readByID:     over(address, http.StatusOK, among(w.reads(send))),
		listOf100:    over(address, http.StatusOK, always(send(http.MethodGet, accounts+"?page_size=100", ""))),
		filteredList: over(address, http.StatusOK, always(send(http.MethodGet, accounts+"?display_name="+accountName(7), ""))),
		create:       creation,
		patch: over(address, http.StatusOK, func(c, n int) []byte {
			return send(http.MethodPatch, accounts+"/"+spread(w.ids, c, n), fmt.Sprintf(`{"description":"Changed %d"}`, made.Add(1)))
		}),
		remove: w.deletion(ctx, creation, prefix, send),
	}
	if w.exchange != "" {
		works[exchange] = over(address, http.StatusOK, always(message(address, "Content-Type: application/x-www-form-urlencoded", http.MethodPost, "/sts/v1/oauth2/token", w.exchange)))
	}
	return works
}

// deletion deletes what was made with the prefix in its name.
func (w *weir) deletion(ctx context.Context, creation work, prefix string, send func(method, path, body string) []byte) work {
	var ids []string
	var taken atomic.Int64
	deletion := over(w.process.address, http.StatusNoContent, func(int, int) []byte {
		n := int(taken.Add(1)) - 1
		if n >= len(ids) {
			return nil
		}
		return send(http.MethodDelete, accounts+"/"+ids[n], "")
	})
	deletion.prepare = func(length time.Duration) error {
		// A deletion may be twice as fast as a creation.
		if _, err := load(creation, 32, 2*length, 0); err != nil {
			return err
		}
		ids = ids[:0]
		taken.Store(0)
		for path := accounts + "?page_size=100"; path != ""; {
			var page []account
			var err error
			if page, path, err = w.page(ctx, path); err != nil {
				return err
			}
			for _, a := range page {
				if strings.HasPrefix(a.Name, prefix) {
					ids = append(ids, a.ID)
				}
			}
		}
		return nil
	}
	return deletion
}
