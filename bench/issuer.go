package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is an identity provider on loopback, with one key.
type issuer struct {
	url    string
	key    jose.JSONWebKey
	server *http.Server
}

// startIssuer starts an issuer that serves its key set, until the part under way
// ends.
func (b *bench) startIssuer(ctx context.Context) (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	i := &issuer{key: jose.JSONWebKey{Key: key, KeyID: "key-1", Algorithm: string(jose.RS256), Use: "sig"}}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{i.key.Public()}})
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i.url = "http://" + listener.Addr().String()
	i.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(keys)
	})}
	ended := make(chan error, 1)
	go func() { ended <- i.server.Serve(listener) }()
	b.atEnd(func() error {
		err := i.server.Close()
		if serving := <-ended; !errors.Is(serving, http.ErrServerClosed) {
			err = errors.Join(err, serving)
		}
		return err
	})
	return i, nil
}

// token is a good token about somebody.
func (i *issuer) token() (string, error) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": i.url, "sub": "alice", "aud": "weir", "jti": "token-1",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(12 * time.Hour).Unix(),
	})
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: i.key.Key},
		(&jose.SignerOptions{}).WithHeader("kid", i.key.KeyID))
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// addIssuer makes an identity provider and a pool in Weir, and the form that
// exchanges a token of the provider.
func (b *bench) addIssuer(ctx context.Context, w *weir) error {
	i, err := b.startIssuer(ctx)
	if err != nil {
		return err
	}
	const providers = "/iam/v2/identity-providers"
	provider, err := w.create(ctx, providers, map[string]any{"display_name": "login", "description": "", "issuer": i.url, "jwks_uri": i.url + "/keys"})
	if err != nil {
		return err
	}
	pool, err := w.create(ctx, providers+"/"+provider+"/identity-pools", map[string]any{"display_name": "pool", "filter": `claims.aud == "weir"`})
	if err != nil {
		return err
	}
	token, err := i.token()
	if err != nil {
		return err
	}
	w.exchange = url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":        {token},
		"identity_pool_id":     {pool},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}.Encode()
	return nil
}
