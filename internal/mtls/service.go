package mtls

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/store"
)

// Service is all of it. Its methods may be called from several goroutines.
type Service struct {
	// Engine is set once it is made, and before anything is served.
	Engine *engine.Engine

	config    Config
	directory *directory
	// verified holds what came of checking certificates.
	verified *lru.Cache[shown, verdict]

	// pending are the authorities that Run is to look at.
	pending *store.Pending
	// failing are the fetches that have failed, by authority. Only Run uses it.
	failing map[string]failure
}

// Config is what a Service is made of.
type Config struct {
	Store store.Store
	// Reader reads of the same store what has to be known before it is known who
	// asks; Turn waits until the sender of the request may have something done for
	// it at that time, and leave must be called after it.
	Reader store.Reader
	Turn   func(context.Context) (leave func(), err error)
	// Directory knows what principals may do.
	Directory *authn.Directory
	Fetcher   *issuer.Fetcher
	Now       func() time.Time
	Log       *slog.Logger
}

// shown is what was checked: the certificates that a client showed, against one
// authority as it was.
type shown struct {
	certificates [sha256.Size]byte
	version      uint64
}

// verdict is what came of it, good until then.
type verdict struct {
	until time.Time
	err   error
}

// rememberedVerdicts bounds how many verdicts are remembered, a hundred bytes or
// two each.
const rememberedVerdicts = 20_000

// New returns a Service over the store. Whoever makes it has it told of changes.
func New(c Config) *Service {
	verified, err := lru.New[shown, verdict](rememberedVerdicts)
	if err != nil {
		panic(fmt.Sprintf("mtls: %v", err)) // the size is a constant above zero
	}
	return &Service{
		config: c, directory: newDirectory(c.Reader, c.Log), verified: verified,
		pending: store.NewPending(iam.CertificateAuthority.Key()), failing: map[string]failure{},
	}
}

// Changed makes the Service forget what the change touches, and look for lists
// to fetch; it is for the store's feed of changes.
func (s *Service) Changed(c store.Change) {
	s.directory.changed(c)
	s.pending.Note(c)
}
