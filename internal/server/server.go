// Package server puts everything together: it opens the store, makes the
// first credentials, and serves the API, its documents and its health on one
// listener.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/audit/delivery"
	"github.com/weirhq/weir/internal/authn"
	"github.com/weirhq/weir/internal/bootstrap"
	"github.com/weirhq/weir/internal/clientaddr"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/invitation"
	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/localca"
	"github.com/weirhq/weir/internal/mail"
	"github.com/weirhq/weir/internal/mtls"
	"github.com/weirhq/weir/internal/oauth"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/partner"
	"github.com/weirhq/weir/internal/signin"
	"github.com/weirhq/weir/internal/sso"
	"github.com/weirhq/weir/internal/store"
	"github.com/weirhq/weir/internal/store/sqlstore"
	"github.com/weirhq/weir/internal/token"
	"github.com/weirhq/weir/internal/tracing"
)

// Bounds of one connection and one request.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// maxStreams is how many requests one connection of HTTP/2 may have under
	// way; those that are reset count until their handlers have ended.
	maxStreams = 100
	// requestTimeout is how long the work on one request may take.
	requestTimeout = 30 * time.Second
	// drainTimeout is how long requests under way may take once the server is
	// asked to stop.
	drainTimeout = 20 * time.Second
)

// Server is a server that is open: its listener is bound, its database is
// migrated, its first credentials exist.
type Server struct {
	// URL is the base of links, without a final slash.
	URL string
	// First holds the credentials that this start made, or nil.
	First *bootstrap.Credentials
	// CAPath is the certificate that clients must trust with
	// Config.TLSSelfSigned, or "".
	CAPath string

	config   Config
	version  string
	log      *slog.Logger
	listener net.Listener
	http     *http.Server
	// database is the store without what observes it.
	database  store.Store
	store     store.Store
	engine    *engine.Engine
	router    *operation.Router
	proxies   clientaddr.Proxies
	errors    api.ErrorWriter
	limits    *limits
	metrics   *metrics
	courier   *invitation.Courier
	audit     *delivery.Courier
	oauth     *oauth.Service
	mtls      *mtls.Service
	passwords *authn.Passwords
	signIn    *signin.Service
	sso       *sso.Service
	suspended *suspensions

	connections *connections
	stopping    atomic.Bool
	// tracer is nil without Config.Traces.
	tracer *tracing.Tracer
}

// Open binds the listener, opens and migrates the database, and on the first
// start makes the first credentials. Its errors are one line for the operator.
func Open(ctx context.Context, c Config, version string, log *slog.Logger) (*Server, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", c.Listen, err)
	}
	s := &Server{config: c, version: version, log: log, listener: listener, URL: c.publicURL(listener.Addr())}
	if err := s.open(ctx); err != nil {
		_ = s.close() // what went wrong first is what counts
		return nil, err
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	var err error
	if s.proxies, err = clientaddr.ParseProxies(s.config.TrustedProxies); err != nil {
		return fmt.Errorf("--trusted-proxy: %w", err)
	}
	if s.config.ProxyProtocol {
		// The proxies speak at the beginning of a connection; what is in headers
		// is the client's own.
		s.listener, s.proxies = s.proxies.Listen(s.listener, readHeaderTimeout), nil
	}
	if s.limits, err = newLimits(s.config); err != nil {
		return err
	}
	if s.router, err = operation.NewRouter(operation.All()); err != nil {
		return err
	}
	if s.tracer, err = tracing.Open(ctx, s.config.Traces, s.version, s.log); err != nil {
		return err
	}
	s.errors = api.ErrorWriter{PublicURL: s.URL, Log: s.log, Now: time.Now}
	if s.tracer != nil {
		s.errors.Told = func(ctx context.Context, code *api.Code) { recordOf(ctx).code = code.Name }
	}
	database, err := openStore(ctx, s.config.DatabaseURL, s.config.DataDir, sqlstore.Options{Logger: s.log, CacheBytes: s.config.CacheSize << 20})
	if err != nil {
		return err
	}
	s.database, s.store = database, s.observe(database)
	networks, err := s.config.keyNetworks()
	if err != nil {
		return err
	}
	fetcher := issuer.NewFetcher(networks)
	fetcher.Through(s.tracer.Transport)
	if s.engine, s.oauth, s.mtls, err = newEngine(ctx, s.store, s.URL, s.log, fetcher); err != nil {
		return err
	}
	s.engine.Admit = s.limits.admit
	s.engine.Client = clientOf
	if s.engine.Clouds, err = s.config.Clouds.Open(ctx); err != nil {
		return err
	}
	sender, err := s.mailSender()
	if err != nil {
		return err
	}
	if s.tracer != nil {
		sender = tracedMail{sender, s.tracer}
	}
	s.passwords = authn.NewPasswords(authn.HashPassword)
	if s.signIn, err = signin.New(s.engine, s.passwords, sender, s.config.SessionTokenLife); err != nil {
		return err
	}
	if s.sso, err = sso.New(s.engine, s.signIn, fetcher); err != nil {
		return err
	}
	s.courier = invitation.NewCourier(s.engine, sender)
	s.store.Watch(s.courier.Changed)
	options := s.config.Audit
	options.DataDir, options.PublicURL = s.config.DataDir, s.URL
	if s.tracer != nil {
		options.Trace = s.traceDelivery
	}
	if s.audit, err = delivery.New(s.store, options, os.Stdout, s.log); err != nil {
		return err
	}
	s.suspended = newSuspensions(s.store, s.log)
	s.store.Watch(s.suspended.Changed)
	tlsConfig, err := s.tlsConfig()
	if err != nil {
		return err
	}
	if s.config.TLSClientCertificates {
		// Which authorities count is in the database, so that none are told to the
		// client, and what it shows is checked with each request.
		tlsConfig.ClientAuth = tls.RequestClientCert
	}
	s.connections = newConnections(s.config.MaxConnections)
	s.metrics = newMetrics(s)
	s.limits.refused = s.metrics.refused
	handler, err := s.handler()
	if err != nil {
		return err
	}
	s.http = &http.Server{
		Handler:           handler,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ConnState:      s.connections.changed,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	// Last, since it prints what is shown once: nothing that can fail comes after.
	return s.first(ctx)
}

// OpenStore opens the database for who works beside a server, such as a command of
// the operator. When Update returns the server sees what was written, which on SQLite
// takes 0.6 seconds.
func OpenStore(ctx context.Context, databaseURL, dataDir string, log *slog.Logger) (store.Store, error) {
	return openStore(ctx, databaseURL, dataDir, sqlstore.Options{Logger: log, Beside: true})
}

// openStore opens the database as all processes on one do: they must tell each
// other of the same kinds.
func openStore(ctx context.Context, databaseURL, dataDir string, options sqlstore.Options) (store.Store, error) {
	options.NotifyKinds = slices.Concat(authn.DirectoryKinds(), iam.FilterKinds(), mtls.Kinds(), oauth.Kinds(), sso.Kinds(), []string{iam.Invitation.Key()})
	return sqlstore.Open(ctx, databaseURL, dataDir, options)
}

// NewEngine returns the engine over an open store, as the server and the
// operator's commands use it.
func NewEngine(ctx context.Context, s store.Store, publicURL string, log *slog.Logger) (*engine.Engine, error) {
	e, _, _, err := newEngine(ctx, s, publicURL, log, issuer.NewFetcher(nil))
	return e, err
}

// newEngine is NewEngine with the services that let in the identities of identity
// providers, and those who show a certificate. They fetch what issuers publish
// through the fetcher.
func newEngine(ctx context.Context, s store.Store, publicURL string, log *slog.Logger, fetcher *issuer.Fetcher) (*engine.Engine, *oauth.Service, *mtls.Service, error) {
	keys, err := bootstrap.LoadKeys(ctx, s)
	if err != nil {
		return nil, nil, nil, err
	}
	directory := authn.NewDirectory(patient{s})
	s.Watch(directory.Changed)
	filters := iam.NewFilterDirectory(s)
	s.Watch(filters.Changed)
	mappings := sso.NewMappings(patient{s}, log)
	s.Watch(mappings.Changed)
	signingKeys := token.NewKeys(s, time.Now)
	turn := func(ctx context.Context) (func(), error) { return recordOf(ctx).await(ctx) }
	service := oauth.New(oauth.Config{
		Store: s, Reader: patient{s}, Turn: turn,
		Directory: directory, SigningKeys: signingKeys, Fetcher: fetcher,
		PublicURL: publicURL, Now: time.Now, Log: log,
	})
	s.Watch(service.Changed)
	certificates := mtls.New(mtls.Config{
		Store: s, Reader: patient{s}, Turn: turn, Directory: directory, Fetcher: fetcher, Now: time.Now, Log: log,
	})
	s.Watch(certificates.Changed)
	tokens := service.Readers()
	tokens[operation.PartnerToken] = partner.TokenReader(s, signingKeys)
	tokens[operation.Session] = authn.Sessions(signingKeys, directory, mappings.For)
	authenticator := &authn.Authenticator{Directory: directory, Hasher: authn.NewHasher(keys.Hash), Tokens: tokens, Certificate: certificates.Caller}
	service.Engine, err = engine.New(engine.Config{
		Store: s, Kinds: Kinds(), Calls: calls(service), PublicURL: publicURL,
		Authenticate: authenticator.Authenticate,
		Admit: func(http.ResponseWriter, *http.Request, *authn.Caller) (leave func(), err error) {
			return func() {}, nil
		},
		Filters:     filters.Table,
		Client:      func(*http.Request) netip.Addr { return netip.Addr{} },
		Tokens:      api.PageTokens{Key: keys.PageToken, Now: time.Now},
		SigningKeys: signingKeys,
		Hasher:      authenticator.Hasher,
		Now:         time.Now, Log: log,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	certificates.Engine = service.Engine
	return service.Engine, service, certificates, service.Engine.CountQuotas(ctx)
}

// SetLimit sets the limit of a quota in an organization, as 'weir quotas set'
// does.
func (s *Server) SetLimit(ctx context.Context, organization, code string, limit int64) error {
	return s.engine.SetLimit(ctx, organization, code, limit)
}

// SetSSO gives an organization a single sign-on connection, as 'weir sso set' does.
func (s *Server) SetSSO(ctx context.Context, organization, issuerURL, clientID, clientSecret string) error {
	_, err := sso.Set(audit.As(ctx, audit.Operator), s.engine, organization, sso.Settings{Issuer: issuerURL, ClientID: clientID, ClientSecret: clientSecret})
	return err
}

// first makes the first credentials where there are none.
func (s *Server) first(ctx context.Context) error {
	if err := bootstrap.Settle(ctx, s.store, s.config.DataDir); err != nil {
		return err
	}
	needed, err := bootstrap.Needed(ctx, s.store)
	if err != nil || !needed {
		return err
	}
	c := bootstrap.Choose(s.config.Bootstrap)
	if err := c.Prepare(s.config.DataDir, s.URL); err != nil {
		return err
	}
	created, err := bootstrap.Create(ctx, s.engine, c)
	if err != nil {
		return fmt.Errorf("make the first organization: %w", err)
	}
	if created {
		s.First = &c
	}
	return bootstrap.Settle(ctx, s.store, s.config.DataDir)
}

// mailSender sends through the operator's server, or into files where there is
// none.
func (s *Server) mailSender() (mail.Sender, error) {
	if s.config.SMTPURL != "" {
		return mail.NewSMTP(s.config.SMTPURL, s.config.MailFrom)
	}
	dir := filepath.Join(s.config.DataDir, "outbox")
	s.log.Info("no SMTP server is configured (--smtp-url): mail is written to files", "directory", dir)
	return mail.NewOutbox(dir, s.config.MailFrom, s.log)
}

func (s *Server) tlsConfig() (*tls.Config, error) {
	switch {
	case s.config.TLSCert != "":
		certificate, err := tls.LoadX509KeyPair(s.config.TLSCert, s.config.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
		}
		c := minimalTLS()
		c.Certificates = []tls.Certificate{certificate}
		return c, nil
	case s.config.TLSSelfSigned:
		c, identity, err := localca.TLSConfig(filepath.Join(s.config.DataDir, "tls"), s.config.certificateHosts(), time.Now, s.log)
		if err != nil {
			return nil, fmt.Errorf("--tls-self-signed: %w", err)
		}
		s.CAPath = identity.CAPath
		return c, nil
	default:
		return nil, nil
	}
}

// Serve answers requests until the context ends, then lets those under way
// finish, and closes everything.
func (s *Server) Serve(ctx context.Context) error {
	working, endWork := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { s.courier.Run(working) })
	work.Go(func() { s.audit.Run(working) })
	work.Go(func() { s.mtls.Run(working) })
	work.Go(func() { s.oauth.Run(working) })
	work.Go(func() { s.signIn.Run(working) })
	work.Go(func() { s.suspended.Run(working) })
	work.Go(func() { s.limits.share(working, s.store, s.log) })
	failed := make(chan error, 1)
	go func() {
		if s.http.TLSConfig != nil {
			failed <- s.http.ServeTLS(s.listener, "", "")
		} else {
			failed <- s.http.Serve(s.listener)
		}
	}()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.stopping.Store(true)
		s.log.Info("stopping: no new connections, finishing requests under way")
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if err = s.http.Shutdown(drain); err != nil {
			_ = s.http.Close()
			err = fmt.Errorf("requests were still under way after %s: %w", drainTimeout, err)
		}
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	// What works beside requests needs the store until it is done.
	endWork()
	work.Wait()
	return errors.Join(err, s.close())
}

func (s *Server) close() error {
	_ = s.listener.Close() // closed already when the server ran
	if s.audit != nil {
		s.audit.Close()
	}
	s.tracer.Close()
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}
