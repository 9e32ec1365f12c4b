package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/audit"
	"github.com/weirhq/weir/internal/store"
)

// Sink takes events.
type Sink interface {
	// Deliver returns once all of the events are kept, in their order, or with
	// an error and how many of them are, from the first on; the others may be,
	// and are delivered again.
	Deliver(ctx context.Context, events []Message) (kept int, err error)
	// Close lets go of what the sink holds.
	Close() error
}

// Message is one event on its way: a CloudEvent in JSON, without line feeds.
type Message struct {
	// Org is the organization that the event belongs to, or "".
	Org  string
	Body []byte
}

// Options are what an operator sets of the delivery. The zero value of a field
// is what its comment says.
type Options struct {
	// Sinks are URLs, as ParseSink reads them; none means that the log is kept
	// in the database alone.
	Sinks []string
	// DataDir is what relative paths of files are below.
	DataDir string
	// FileBytes and FileAge are when a file is full; FileCount is how many full
	// ones are kept. Zero is no bound.
	FileBytes int64
	FileAge   time.Duration
	FileCount int
	// CAFile has the certificates, in PEM, that servers of sinks are trusted
	// by; empty means those of the system.
	CAFile string
	// HTTPBatch sends many events in one request to each HTTP endpoint.
	HTTPBatch bool
	// Retain is how much of the log is kept in the database.
	Retain Bounds
	// PublicURL takes the place of the marks in stored objects.
	PublicURL string
	// Trace, where set, is called before a sink is given events, and what it
	// returns afterwards.
	Trace func(ctx context.Context, sink string, events int) (context.Context, func(error))

	// lease, poll and trimEvery replace the defaults in tests.
	lease, poll, trimEvery time.Duration
}

// Check reports what is wrong with the options beside the sinks, in words for
// the operator.
func (o Options) Check() error {
	for name, value := range map[string]int64{
		"--audit-file-size": o.FileBytes, "--audit-file-age": int64(o.FileAge), "--audit-file-count": int64(o.FileCount),
		"--audit-retention": int64(o.Retain.Age), "--audit-max-size": o.Retain.Bytes,
	} {
		if value < 0 {
			return fmt.Errorf("%s must not be negative; 0 is no bound", name)
		}
	}
	if _, err := o.tlsConfig(); err != nil {
		return fmt.Errorf("--audit-ca: %w", err)
	}
	return nil
}

// Topic is the Kafka topic that events go to where the URL names none.
const Topic = "confluent-audit-log-events"

// ParsedSink is a sink that is not open yet.
type ParsedSink struct {
	// Name is the URL without what is secret in it. It names the sink's
	// position in the log, so that a sink that moves starts anew.
	Name string
	open func(o Options, stdout io.Writer) (Sink, error)
}

// ParseSink reads the URL of a sink:
//
//	file:audit/audit.jsonl, file:///var/log/weir/audit.jsonl
//	stdout:
//	https://user:password@collector.example.com/events, or http on this machine
//	kafka://user:password@host:9092/topic?broker=host:9092&tls=true&sasl=scram-sha-512
//
// Its errors do not quote the URL, which may hold a password.
func ParseSink(text string) (ParsedSink, error) {
	u, err := url.Parse(text)
	if err != nil {
		return ParsedSink{}, errors.New("a URL of an audit sink cannot be read; write it as in 'weir serve --help', with special characters percent-encoded")
	}
	if u.Fragment != "" {
		return ParsedSink{}, errors.New("the URL of an audit sink has no fragment (#)")
	}
	public := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, Opaque: u.Opaque}
	p := ParsedSink{Name: public.String()}
	if len(p.Name) > 200 {
		return p, errors.New("the URL of an audit sink has more than 200 characters")
	}
	switch u.Scheme {
	case "file":
		path := u.Opaque
		if path == "" {
			path = u.Path
		}
		if path, err = url.PathUnescape(path); err != nil || path == "" || u.Host != "" || strings.HasSuffix(path, "/") {
			return p, errors.New("an audit file is file:PATH, in the data folder, or file:///PATH")
		}
		p.open = func(o Options, _ io.Writer) (Sink, error) {
			if !filepath.IsAbs(path) {
				path = filepath.Join(o.DataDir, path)
			}
			return openFile(path, fileLimits{o.FileBytes, o.FileAge, o.FileCount}, time.Now)
		}
	case "stdout":
		p.open = func(_ Options, stdout io.Writer) (Sink, error) { return lines{stdout}, nil }
	case "http", "https":
		if u.Hostname() == "" {
			return p, errors.New("the URL of an audit sink names no host")
		}
		if u.Scheme == "http" && !local(u.Hostname()) {
			return p, errors.New("an audit sink on another machine must be https://")
		}
		p.open = func(o Options, _ io.Writer) (Sink, error) { return openHTTP(u, o) }
	case "kafka":
		k, err := parseKafka(u)
		if err != nil {
			return p, err
		}
		p.open = func(o Options, _ io.Writer) (Sink, error) { return k.open(o) }
	default:
		return p, errors.New("an audit sink begins with file:, stdout:, https:// or kafka://")
	}
	return p, nil
}

// ParseSinks reads all of them and refuses two of the same name, which would
// share a position.
func ParseSinks(texts []string) ([]ParsedSink, error) {
	var sinks []ParsedSink
	for _, text := range texts {
		p, err := ParseSink(text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(sinks, func(other ParsedSink) bool { return other.Name == p.Name }) {
			return nil, fmt.Errorf("the audit sink %s is listed twice", p.Name)
		}
		sinks = append(sinks, p)
	}
	return sinks, nil
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// tlsConfig is for the servers of sinks.
func (o Options) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, err
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", o.CAFile)
	}
	return c, nil
}

// message is the event as it goes out.
func message(e store.Event, publicURL string) Message {
	return Message{Org: e.Org, Body: Body(e, publicURL)}
}

// Body is the stored event as it goes out: with its number, and with the public
// URL in the links of objects.
func Body(e store.Event, publicURL string) []byte {
	return api.AppendSpliced(nil, audit.WithSequence(e.Body, e.Seq), publicURL)
}

// lines writes one event a line.
type lines struct{ w io.Writer }

func (l lines) Deliver(_ context.Context, events []Message) (int, error) {
	if _, err := l.w.Write(joined(events)); err != nil {
		return 0, err
	}
	return len(events), nil
}

func (lines) Close() error { return nil }

func joined(events []Message) []byte {
	room := 0
	for _, e := range events {
		room += len(e.Body) + 1
	}
	b := make([]byte, 0, room)
	for _, e := range events {
		b = append(append(b, e.Body...), '\n')
	}
	return b
}
