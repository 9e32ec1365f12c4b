package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

const prismName = "Prism"

// prisms starts Prism as a mock of Weir's own API document. It answers with the
// document's examples and keeps nothing. A list has one object, so that there is
// none of 100.
func (b *bench) prisms(ctx context.Context, w *weir) ([]*contestant, error) {
	if b.prism == "" {
		b.warn("Prism was not measured: -prism names no program")
		return nil, nil
	}
	text, err := w.get(ctx, "/openapi.json")
	if err != nil {
		return nil, err
	}
	document := filepath.Join(b.folder, "openapi.json")
	if err := os.WriteFile(document, text, 0o600); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, b.prism, "mock", "--host", host, "--port", port, "--verboseLevel", "error", document) //nolint:gosec // the caller's own program
	p, _, err := b.start(ctx, address, accounts, w.key, w.secret, command)
	if err != nil {
		return nil, err
	}
	send := func(method, path, body string) func(connection, n int) []byte {
		return always(message(address, basic(w.key, w.secret), method, accounts+path, body))
	}
	one := "/" + w.ids[0]
	return []*contestant{{name: prismName, usage: p.usage, process: p, works: map[string]work{
		readByID:     over(address, http.StatusOK, send(http.MethodGet, one, "")),
		filteredList: over(address, http.StatusOK, send(http.MethodGet, "?display_name="+accountName(7), "")),
		create:       over(address, http.StatusCreated, send(http.MethodPost, "", fmt.Sprintf(`{"display_name":"made","description":%q}`, accountDescription))),
		patch:        over(address, http.StatusOK, send(http.MethodPatch, one, `{"description":"Changed"}`)),
		remove:       over(address, http.StatusNoContent, send(http.MethodDelete, one, "")),
	}}}, nil
}
