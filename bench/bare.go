package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// bareArgument makes the program the bare handler.
const bareArgument = "serve-bare"

// startBare starts the bare handler on the bytes that Weir answers with.
func (b *bench) startBare(ctx context.Context, w *weir) (*contestant, error) {
	folder, err := os.MkdirTemp(b.folder, "bare-")
	if err != nil {
		return nil, err
	}
	for name, path := range map[string]string{"read": accounts + "/" + w.ids[0], "list": accounts + "?page_size=100"} {
		text, err := w.get(ctx, path)
		if err != nil {
			return nil, err
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
	p, _, err := b.start(ctx, address, "/read", w.key, w.secret, command)
	if err != nil {
		return nil, err
	}
	c := &contestant{name: bareHandler, usage: p.usage, process: p, works: map[string]work{}}
	for name, path := range map[string]string{readByID: "/read", listOf100: "/list"} {
		c.works[name] = over(address, http.StatusOK, always(message(address, basic(w.key, w.secret), http.MethodGet, path, "")))
	}
	return c, nil
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
			if r.URL.Path == "/metrics" {
				writeMallocs(w)
				return
			}
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

// writeMallocs tells how many objects this process has allocated, as Weir's
// /metrics does.
func writeMallocs(out io.Writer) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	_, _ = fmt.Fprintf(out, "go_memstats_mallocs_total %d\n", stats.Mallocs)
}
