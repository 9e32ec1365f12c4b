package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirhq/weir/internal/iam"
)

// bareArgument makes the program a bare handler; a file with its settings follows.
const bareArgument = "serve-bare"

// bareSettings are what a bare handler is told.
type bareSettings struct {
	Address, Key, Secret string
	// Read and List are the bytes that Weir answers with.
	Read, List []byte
	// Driver names what the rows are read from and written to; with "" all answers
	// are Read or List.
	Driver string
	// Database is the folder or the URL of the driver's database.
	Database     string
	Organization string
	IDs          []string
}

// startBare starts a bare handler under the name. Without a driver it answers with
// the bytes that Weir answers with; with one it has the same rows in a database
// of its own.
func (b *bench) startBare(ctx context.Context, w *weir, name, driver, database string) (*contestant, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := bareSettings{Address: address, Key: w.key, Secret: w.secret, Driver: driver, Database: database, Organization: w.organization, IDs: w.ids}
	if s.Read, err = w.get(ctx, accounts+"/"+w.ids[0]); err != nil {
		return nil, err
	}
	if s.List, err = w.get(ctx, accounts+"?page_size=100"); err != nil {
		return nil, err
	}
	text, err := json.Marshal(s) //nolint:gosec // the key is made for this run, and the folder removed after it
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(b.folder, "bare-")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "settings.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, _, err := b.start(ctx, address, accounts, w.key, w.secret, exec.CommandContext(ctx, self, bareArgument, file)) //nolint:gosec // this program itself
	if err != nil {
		return nil, err
	}
	c := &contestant{name: name, usage: p.usage, process: p, works: map[string]work{}}
	send := func(method, path, body string) []byte {
		return message(address, basic(w.key, w.secret), method, path, body)
	}
	c.works[readByID] = over(address, http.StatusOK, among(w.reads(send)))
	c.works[listOf100] = over(address, http.StatusOK, always(send(http.MethodGet, accounts, "")))
	if driver != "" {
		c.works[create] = over(address, http.StatusCreated, always(send(http.MethodPost, accounts, string(s.Read))))
	}
	return c, nil
}

// driver reads and writes rows.
type driver interface {
	// read returns the body of the row with the ID, of which it reads all.
	read(ctx context.Context, id string) ([]byte, error)
	// list appends an array of the first 100 bodies.
	list(ctx context.Context, to []byte) ([]byte, error)
	// insert adds a row and returns once that is durable.
	insert(ctx context.Context, r driverRow) error
	close() error
}

// openDriver makes a table with the rows in an empty database.
func openDriver(ctx context.Context, s bareSettings) (driver, error) {
	row := driverRow{organization: s.Organization, now: time.Now().UnixMicro(), body: s.Read}
	switch s.Driver {
	case sqliteSingle, sqliteGrouped:
		return openSQLiteDriver(s.Database, row, s.IDs, s.Driver == sqliteGrouped)
	case overPgx:
		return newPostgresDriver(ctx, s.Database, row, s.IDs)
	case sqliteStore:
		return openStoreDriver(ctx, s.Database, "", row, s.IDs)
	case postgresStore:
		return openStoreDriver(ctx, "", s.Database, row, s.IDs)
	}
	return nil, fmt.Errorf("there is no driver %q", s.Driver)
}

// serveBare is the limit: it checks a Basic key by one HMAC-SHA-256, and answers
// with bytes from memory or from a driver. It ends when the context does.
func serveBare(ctx context.Context, file string) (err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var s bareSettings
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	h := bareHandling{bareSettings: s, want: bareHash(s.Secret)}
	if s.Driver != "" {
		if h.driver, err = openDriver(ctx, s); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, h.driver.close()) }()
	}
	server := &http.Server{Addr: s.Address, ReadHeaderTimeout: 10 * time.Second, Handler: &h}
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		_ = server.Close() // nobody waits for answers any more
		close(stopped)
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}

// bareHandling answers the requests to a bare handler.
type bareHandling struct {
	bareSettings
	want   []byte
	driver driver
	made   atomic.Int64
	// lists holds *[]byte to put lists together in.
	lists sync.Pool
}

func bareHash(secret string) []byte {
	h := hmac.New(sha256.New, []byte("the key of the hash"))
	_, _ = io.WriteString(h, secret)
	return h.Sum(nil)
}

func (h *bareHandling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, given, _ := r.BasicAuth()
	if id != h.Key || !hmac.Equal(bareHash(given), h.want) {
		if r.URL.Path == "/metrics" {
			writeMallocs(w)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	room, _ := h.lists.Get().(*[]byte)
	if room == nil {
		room = new([]byte)
	}
	defer h.lists.Put(room)
	status, text, err := h.answer(r, room)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func (h *bareHandling) answer(r *http.Request, room *[]byte) (status int, text []byte, err error) {
	switch {
	case r.Method == http.MethodPost:
		body, err := io.ReadAll(r.Body)
		if err == nil {
			row := driverRow{organization: h.Organization, now: time.Now().UnixMicro(), body: body}
			err = h.insert(r.Context(), row)
		}
		return http.StatusCreated, body, err
	case h.driver == nil && r.URL.Path == accounts:
		return http.StatusOK, h.List, nil
	case h.driver == nil:
		return http.StatusOK, h.Read, nil
	case r.URL.Path == accounts:
		*room, err = h.driver.list(r.Context(), (*room)[:0])
		return http.StatusOK, *room, err
	default:
		text, err = h.driver.read(r.Context(), r.URL.Path[len(accounts)+1:])
		return http.StatusOK, text, err
	}
}

// insert inserts the row with an ID as Weir draws them: now and then one comes again.
func (h *bareHandling) insert(ctx context.Context, row driverRow) (err error) {
	name := fmt.Sprint("made ", h.made.Add(1))
	for range 3 {
		if err = h.driver.insert(ctx, row.with(iam.ServiceAccount.NewID(), name)); err == nil {
			return nil
		}
	}
	return err
}

// writeMallocs tells how many objects this process has allocated, as Weir's
// /metrics does.
func writeMallocs(out io.Writer) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	_, _ = fmt.Fprintf(out, "go_memstats_mallocs_total %d\n", stats.Mallocs)
}
