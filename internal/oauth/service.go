package oauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/token"
)

// Service is all of it. Its methods may be called from several goroutines.
type Service struct {
	// Engine is set once it is made, which takes the Service's Calls and Readers,
	// and before anything is served.
	Engine *engine.Engine

	config    Config
	directory *directory
	// verified holds what tokens of Weir's own say, by their hash: checking a
	// signature again with each request costs more than the rest of it. Whether
	// the pool is still there, and the token still good, is asked each time.
	verified *lru.Cache[[sha256.Size]byte, verified]

	mu sync.Mutex
	// flights are the fetches that are under way, by provider, ended those that
	// have just ended: nobody asks an issuer again at once.
	flights map[string]*flight
	ended   *lru.Cache[string, *flight]

	// pending are the providers that Run is to look at.
	pending *store.Pending
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
	Directory   *authn.Directory
	SigningKeys *token.Keys
	Fetcher     *issuer.Fetcher
	// PublicURL is the issuer of the tokens that are given out, without a final
	// slash.
	PublicURL string
	Now       func() time.Time
	Log       *slog.Logger
}

// rememberedTokens bounds how many tokens of Weir's own are remembered, a
// kilobyte or two each.
const rememberedTokens = 20_000

// New returns a Service over the store. Whoever makes it has it told of changes.
func New(c Config) *Service {
	seen, err := lru.New[[sha256.Size]byte, verified](rememberedTokens)
	ended, err2 := lru.New[string, *flight](remembered)
	if err := errors.Join(err, err2); err != nil {
		panic(fmt.Sprintf("oauth: %v", err)) // sizes are constants above zero
	}
	return &Service{
		config: c, directory: newDirectory(c.Reader, c.Log), verified: seen,
		flights: map[string]*flight{}, ended: ended, pending: store.NewPending(iam.IdentityProvider.Key()),
	}
}

// Changed makes the Service forget what the change touches, and look for keys
// to fetch; it is for the store's feed of changes.
func (s *Service) Changed(c store.Change) {
	s.directory.changed(c)
	s.pending.Note(c)
}
