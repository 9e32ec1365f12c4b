package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/weirhq/weir/internal/store"
)

const (
	// probeTimeout is what a server that answers needs to let a connection in.
	probeTimeout = time.Second
	// probePause is between two looks at a server that does not.
	probePause = 250 * time.Millisecond
)

// gate keeps statements from a server that does not answer. A server that
// refuses connections says so at once, but one that is silent would hold each
// request for as long as that may take. When something makes it suspect, the
// gate looks on a connection of its own, shuts, and opens when there is an
// answer again.
type gate struct {
	config *pgx.ConnConfig
	// opened is called when the server answers again: its connections from
	// before may still be silent.
	opened func()
	log    *slog.Logger

	shut    atomic.Pointer[error]
	looking atomic.Bool
	ctx     context.Context
	end     context.CancelFunc
	work    sync.WaitGroup
}

func newGate(config *pgx.ConnConfig, opened func(), log *slog.Logger) *gate {
	ctx, end := context.WithCancel(context.Background())
	return &gate{config: config, opened: opened, log: log, ctx: ctx, end: end}
}

// pass returns why no statement can be sent now, or nil.
func (g *gate) pass() error {
	if shut := g.shut.Load(); shut != nil {
		return *shut
	}
	return nil
}

// suspect has the gate look whether the server answers.
func (g *gate) suspect() {
	if g.ctx.Err() == nil && g.looking.CompareAndSwap(false, true) {
		g.work.Go(g.look)
	}
}

// look returns when the server answers.
func (g *gate) look() {
	defer g.looking.Store(false)
	for {
		err := g.probe()
		if err == nil || g.ctx.Err() != nil {
			if g.shut.Swap(nil) != nil && g.ctx.Err() == nil {
				g.log.Info("the database answers again")
				g.opened()
			}
			return
		}
		unavailable := fmt.Errorf("%w: it does not answer: %w", store.ErrUnavailable, err)
		if g.shut.Swap(&unavailable) == nil {
			g.log.Error("the database does not answer; requests fail until it does", "error", err)
		}
		select {
		case <-time.After(probePause):
		case <-g.ctx.Done():
		}
	}
}

// probe connects. A server that has no connection left is one that answers:
// those of the pool may be as good as ever.
func (g *gate) probe() error {
	ctx, cancel := context.WithTimeout(g.ctx, probeTimeout)
	defer cancel()
	config := g.config.Copy()
	config.RuntimeParams["application_name"] += "-probe"
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		var answer *pgconn.PgError
		if errors.As(err, &answer) && strings.HasPrefix(answer.Code, "53") {
			return nil
		}
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	return c.Ping(ctx)
}

// close ends the looking. The gate lets everybody pass from then on.
func (g *gate) close() {
	g.end()
	g.work.Wait()
}
