package mail

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// SendTimeout is how long SMTP.Send takes at most, from the connection to the
// server's last word.
const SendTimeout = 30 * time.Second

// Ports that are taken where the URL names none: submission (RFC 6409) and
// submission over TLS (RFC 8314).
const (
	portSubmission    = 587
	portSubmissionTLS = 465
)

// mechanisms are the ways to authenticate, best first. The last two show the
// password to the server; the library refuses PLAIN and LOGIN on connections
// that are neither encrypted nor to this machine.
var mechanisms = []gomail.SMTPAuthType{
	gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthCramMD5,
	gomail.SMTPAuthPlain, gomail.SMTPAuthLogin,
}

// errURL does not show the URL: in one that is mistyped, any part may be the
// password.
var errURL = errors.New("mail: the URL of the SMTP server is not one such as smtp://user:password@mail.example.com:587, with special characters of the password percent-encoded")

// SMTP sends mail through a server, with a connection for each message.
type SMTP struct {
	sender
	host           string
	port           int
	implicit       bool // TLS from the first byte
	policy         gomail.TLSPolicy
	user, password string
	tls            *tls.Config
	timeout        time.Duration
}

// NewSMTP reads the URL of a server, without connecting to it:
//
//	smtp://user:password@mail.example.com       STARTTLS, port 587
//	smtps://user:password@mail.example.com      TLS from the start, port 465
//	smtp://localhost:25                         plain, since it is this machine
//	smtp://mail.example.com:25?tls=none         plain, since the operator says so
//	smtp://localhost?tls=starttls               STARTTLS all the same
//
// Special characters of user and password are percent-encoded. A password is
// not sent in the clear to another machine, not even with tls=none. From is an
// address with or without a name: "Weir <weir@example.com>".
func NewSMTP(rawURL, from string) (*SMTP, error) {
	s := &SMTP{timeout: SendTimeout}
	var err error
	if s.sender, err = parseFrom(from); err != nil {
		return nil, err
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errURL // the error at hand repeats the URL
	}
	if u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return nil, errURL
	}
	s.host, s.implicit = u.Hostname(), u.Scheme == "smtps"
	s.port = portSubmission
	if s.implicit {
		s.port = portSubmissionTLS
	}
	if text := u.Port(); text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return nil, errURL
		}
		s.port = int(port)
	}
	s.user = u.User.Username()
	s.password, _ = u.User.Password()
	if s.user == "" && s.password != "" {
		return nil, errors.New("mail: the URL of the SMTP server has a password and no user")
	}
	if err := s.setPolicy(u); err != nil {
		return nil, err
	}
	s.tls = &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12}
	return s, nil
}

func (s *SMTP) setPolicy(u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errURL
	}
	mode := query.Get("tls")
	query.Del("tls")
	if len(query) > 0 {
		return errors.New("mail: the SMTP server's URL takes the parameter tls and no other")
	}
	s.policy = gomail.TLSMandatory
	switch {
	case s.implicit && mode == "":
		s.policy = gomail.NoTLS // there is nothing to upgrade
	case s.implicit:
		return errors.New("mail: smtps:// means TLS from the start and takes no parameter tls; use smtp:// for another mode")
	case mode == "none", mode == "" && isLoopback(s.host):
		s.policy = gomail.NoTLS
	case mode != "" && mode != "starttls":
		return errors.New("mail: the parameter tls of the SMTP server's URL is neither none nor starttls")
	}
	return nil
}

// isLoopback reports whether the host is this machine by its name alone.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || strings.EqualFold(host, "localhost")
}

// Send hands the message to the server. Without an error the server has taken
// responsibility for it.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	msg, err := s.compose(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	// The library heeds the context while it connects; after that, closing the
	// connection is what ends a wait. It is closed in the end in any case.
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if !s.implicit {
			return conn, nil
		}
		secure := tls.Client(conn, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		return secure, nil
	}
	options := []gomail.Option{
		gomail.WithPort(s.port), gomail.WithTimeout(s.timeout),
		gomail.WithTLSPolicy(s.policy), gomail.WithTLSConfig(s.tls),
		gomail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(dialing, network, address)
			if err == nil {
				context.AfterFunc(ctx, func() { _ = conn.Close() })
			}
			return conn, err
		}),
	}
	if s.user != "" {
		options = append(options, gomail.WithUsername(s.user), gomail.WithPassword(s.password), gomail.WithOpportunisticSMTPAuth(mechanisms...))
	}
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return s.failure(ctx, err)
	}
	connection, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return s.failure(ctx, err)
	}
	if err := client.SendWithSMTPClient(connection, msg); err != nil {
		return s.failure(ctx, err)
	}
	// The message is the server's by now, so that a QUIT that fails is none of
	// the caller's business: sending again would send it twice.
	_ = client.CloseWithSMTPClient(connection)
	return nil
}

// failure says what went wrong with which server. Servers may repeat what they
// were sent, so the password is taken out of it.
func (s *SMTP) failure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	server := net.JoinHostPort(s.host, strconv.Itoa(s.port))
	if s.password != "" && s.leaks(err.Error()) {
		return fmt.Errorf("mail: send through %s: the server's answer is withheld, since it has the password in it", server)
	}
	return fmt.Errorf("mail: send through %s: %w", server, err)
}

// leaks reports whether the text has the password in it, as it is or in the
// forms that it is sent in.
func (s *SMTP) leaks(text string) bool {
	for _, form := range []string{
		s.password,
		base64.StdEncoding.EncodeToString([]byte(s.password)),
		base64.StdEncoding.EncodeToString([]byte("\x00" + s.user + "\x00" + s.password)),
	} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}
