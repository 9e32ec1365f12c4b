package mail_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/weirhq/weir/internal/localca"
)

const (
	user     = "weir@example.com"
	password = "p%ss w@rd:/#?"
)

// server is an SMTP server that keeps what it is sent.
type server struct {
	addr  string
	roots *x509.CertPool
	// refuse, where set, is the answer to every recipient.
	refuse error
	// auth is whether a client must authenticate first.
	auth bool

	mu       sync.Mutex
	received []delivery
}

// delivery is one message as the server got it.
type delivery struct {
	from, to, as string
	encrypted    bool
	data         string
}

// listen starts the server. With implicit it speaks TLS from the first byte,
// else it offers STARTTLS where secure is set.
func (s *server) listen(t *testing.T, secure, implicit bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s, conn: c}, nil
	}))
	srv.Domain, srv.AllowInsecureAuth, srv.EnableSMTPUTF8 = "localhost", true, true
	srv.ReadTimeout, srv.WriteTimeout = time.Minute, time.Minute
	srv.ErrorLog = quiet{}
	if secure || implicit {
		config, identity, err := localca.TLSConfig(t.TempDir(), []string{"127.0.0.1"}, time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ca, err := os.ReadFile(identity.CAPath)
		if err != nil {
			t.Fatal(err)
		}
		s.roots = x509.NewCertPool()
		s.roots.AppendCertsFromPEM(ca)
		if implicit {
			l = tls.NewListener(l, config)
		} else {
			srv.TLSConfig = config
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l) // always ends with an error, as it is closed
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		_ = l.Close() // the server may not have known it yet
		<-ended
	})
}

// one returns the only message that was delivered.
func (s *server) one(t *testing.T) delivery {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.received) != 1 {
		t.Fatalf("the server has %d messages, want 1", len(s.received))
	}
	return s.received[0]
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.received)
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// session is one connection to the server.
type session struct {
	server *server
	conn   *smtp.Conn
	d      delivery
}

func (s *session) AuthMechanisms() []string {
	if !s.server.auth {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, u, p string) error {
		if u != user || p != password {
			// A server that says too much must not make us do the same.
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "the password " + p + " is wrong"}
		}
		s.d.as = u
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.auth && s.d.as == "" {
		return smtp.ErrAuthRequired
	}
	s.d.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.d.to = to
	return s.server.refuse
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.d.data = string(data)
	_, s.d.encrypted = s.conn.TLSConnectionState()
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.received = append(s.server.received, s.d)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// parsed is a message as a mail program shows it.
type parsed struct {
	header     mail.Header
	subject    string
	text, html string
}

// parse reads a message and its two parts.
func parse(t *testing.T, data string) parsed {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatalf("%v in %q", err, data)
	}
	p := parsed{header: m.Header}
	if p.subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q, %v", kind, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for _, part := range []struct {
		kind    string
		content *string
	}{{"text/plain", &p.text}, {"text/html", &p.html}} {
		next, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		kind, params, err := mime.ParseMediaType(next.Header.Get("Content-Type"))
		if err != nil || kind != part.kind || !strings.EqualFold(params["charset"], "utf-8") {
			t.Fatalf("part %q %v, %v, want %s", kind, params, err, part.kind)
		}
		if encoding := next.Header.Get("Content-Transfer-Encoding"); encoding != "quoted-printable" {
			t.Fatalf("part %s is encoded as %q", kind, encoding)
		}
		content, err := io.ReadAll(quotedprintable.NewReader(next))
		if err != nil {
			t.Fatal(err)
		}
		*part.content = strings.ReplaceAll(string(content), "\r\n", "\n")
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Fatalf("after two parts: %v", err)
	}
	return p
}
