package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"
)

const (
	// pocketBase is PocketBase as it comes: a commit survives a crash of the
	// process, and not one of the machine (synchronous = NORMAL).
	pocketBase = "PocketBase"
	// durablePocketBase syncs at every commit, as Weir does.
	durablePocketBase = "PocketBase, durable"

	records = "/api/collections/accounts/records"
)

// pocketBases starts PocketBase as it comes, and as durable as Weir.
func (b *bench) pocketBases(ctx context.Context, _ *weir) ([]*contestant, error) {
	if b.pocketBase == "" {
		b.warn("PocketBase was not measured: -pocketbase names no program")
		return nil, nil
	}
	var all []*contestant
	for _, name := range []string{pocketBase, durablePocketBase} {
		c, err := b.startPocketBase(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// startPocketBase starts PocketBase with as many records as Weir has service
// accounts.
func (b *bench) startPocketBase(ctx context.Context, name string) (*contestant, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	durable := name == durablePocketBase
	data := filepath.Join(b.folder, fmt.Sprintf("pocketbase-%t", durable))
	command := exec.CommandContext(ctx, b.pocketBase, "-address", address, "-data", data, //nolint:gosec // the caller's own program
		fmt.Sprintf("-objects=%d", b.objects), fmt.Sprintf("-durable=%t", durable))
	p, _, err := b.start(ctx, address, "/api/health", "", "", command)
	if err != nil {
		return nil, err
	}
	var ready struct {
		Token string
		IDs   []string
	}
	text, err := os.ReadFile(filepath.Join(data, "ready.json"))
	if err == nil {
		err = json.Unmarshal(text, &ready)
	}
	if err != nil {
		return nil, err
	}
	return &contestant{name: name, usage: p.usage, process: p, works: pocketBaseOperations(address, ready.Token, ready.IDs)}, nil
}

// pocketBaseOperations are the requests to PocketBase. It lets its clients choose
// IDs.
func pocketBaseOperations(address, token string, ids []string) map[string]work {
	send := func(method, path, body string) []byte {
		return message(address, "Authorization: "+token, method, records+path, body)
	}
	reads := make([][]byte, len(ids))
	for i, id := range ids {
		reads[i] = send(http.MethodGet, "/"+id, "")
	}
	var made, deleted atomic.Int64
	newID := func(n int64) string { return fmt.Sprintf("made%011d", n) }
	creation := over(address, http.StatusOK, func(int, int) []byte {
		n := made.Add(1)
		return send(http.MethodPost, "", fmt.Sprintf(`{"id":%q,"display_name":"made-%d","description":%q}`, newID(n), n, accountDescription))
	})
	deletion := over(address, http.StatusNoContent, func(int, int) []byte {
		n := deleted.Add(1)
		if n > made.Load() {
			return nil
		}
		return send(http.MethodDelete, "/"+newID(n), "")
	})
	deletion.prepare = func(length time.Duration) error {
		// What a load before has asked for beyond the last record is made now.
		deleted.Store(min(deleted.Load(), made.Load()))
		_, err := load(creation, 32, 2*length, 0)
		return err
	}
	return map[string]work{
		readByID:     over(address, http.StatusOK, among(reads)),
		listOf100:    over(address, http.StatusOK, always(send(http.MethodGet, "?perPage=100&skipTotal=1", ""))),
		filteredList: over(address, http.StatusOK, always(send(http.MethodGet, "?skipTotal=1&filter=(display_name='"+accountName(7)+"')", ""))),
		create:       creation,
		patch: over(address, http.StatusOK, func(c, n int) []byte {
			return send(http.MethodPatch, "/"+spread(ids, c, n), fmt.Sprintf(`{"description":"Changed %d"}`, made.Load()+int64(n)))
		}),
		remove: deletion,
	}
}
