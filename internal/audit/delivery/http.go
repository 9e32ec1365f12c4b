package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

const (
	// httpTimeout bounds one request.
	httpTimeout = 15 * time.Second
	// httpBatchBytes bounds what one request with many events holds.
	httpBatchBytes = 1 << 20
)

// endpoint sends events to a server by CloudEvents' HTTP binding: one in each
// request, in structured mode, or many in batched mode. Requests go one after
// the other, so that the order holds.
type endpoint struct {
	target         string
	user, password string
	batch          bool
	client         *http.Client
}

func openHTTP(u *url.URL, o Options) (*endpoint, error) {
	tlsConfig, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	e := &endpoint{batch: o.HTTPBatch}
	e.user = u.User.Username()
	e.password, _ = u.User.Password()
	plain := *u
	plain.User = nil
	e.target = plain.String()
	transport := http.DefaultTransport.(*http.Transport).Clone() // the standard library's own is of this type
	transport.TLSClientConfig = tlsConfig
	e.client = &http.Client{
		Transport: transport, Timeout: httpTimeout,
		// A redirect would turn the request into another one.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return e, nil
}

func (e *endpoint) Deliver(ctx context.Context, messages []Message) (kept int, err error) {
	for len(messages) > 0 {
		n, size := 1, len(messages[0].Body)
		for e.batch && n < len(messages) && size+len(messages[n].Body) <= httpBatchBytes {
			size += len(messages[n].Body)
			n++
		}
		if err := e.send(ctx, messages[:n]); err != nil {
			return kept, err
		}
		messages, kept = messages[n:], kept+n
	}
	return kept, nil
}

func (e *endpoint) send(ctx context.Context, messages []Message) error {
	events := make([]event.Event, len(messages))
	for i, m := range messages {
		if err := json.Unmarshal(m.Body, &events[i]); err != nil {
			return fmt.Errorf("an event is no CloudEvent: %w", err)
		}
	}
	var req *http.Request
	var err error
	if e.batch {
		req, err = cehttp.NewHTTPRequestFromEvents(ctx, e.target, events)
	} else {
		req, err = cehttp.NewHTTPRequestFromEvent(binding.WithForceStructured(ctx), e.target, events[0])
	}
	if err != nil {
		return hideURL(err)
	}
	if e.user != "" || e.password != "" {
		req.SetBasicAuth(e.user, e.password)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return hideURL(err)
	}
	defer func() { _ = resp.Body.Close() }()
	// The connection is used again once the body is read.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the endpoint answered %s", resp.Status)
	}
	return nil
}

// hideURL takes the URL out of an error, whose query may hold a token.
func hideURL(err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		return inner.Err
	}
	return err
}

func (e *endpoint) Close() error {
	e.client.CloseIdleConnections()
	return nil
}
