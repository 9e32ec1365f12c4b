package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/weirhq/weir/internal/store"
)

// Period is how long one key signs. A key is published one period before it
// signs, so that who fetches the key set has it in time, and one period after.
const Period = 30 * 24 * time.Hour

// Keys are the installation's signing keys. There is one for each Period of
// time, counted from 1970: which key signs follows from the clock alone, and
// whoever needs a key that is not there yet makes it. So replicas agree without
// a word, and nothing in the database ever changes.
//
// All methods may be called from several goroutines. The database is read once
// in each Period.
type Keys struct {
	store store.Store
	now   func() time.Time

	// loading keeps two from making the same keys at once; known is what they
	// made, and does not change.
	loading sync.Mutex
	known   atomic.Pointer[keySet]
}

// keySet holds the keys that count in one period.
type keySet struct {
	period int64
	byID   map[string]jose.JSONWebKey
	signer jose.JSONWebKey
}

// NewKeys returns the keys that are in the store. now tells the time.
func NewKeys(s store.Store, now func() time.Time) *Keys {
	return &Keys{store: s, now: now}
}

// Set returns the public keys that tokens can be checked with (RFC 7517).
func (k *Keys) Set(ctx context.Context) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	keys, err := k.load(ctx, k.now())
	if err != nil {
		return set, err
	}
	for _, id := range slices.Sorted(maps.Keys(keys.byID)) {
		key := keys.byID[id]
		set.Keys = append(set.Keys, key.Public())
	}
	return set, nil
}

// verifying returns the public key with the ID.
func (k *Keys) verifying(ctx context.Context, now time.Time, id string) (jose.JSONWebKey, error) {
	keys, err := k.load(ctx, now)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	key, ok := keys.byID[id]
	if !ok {
		return key, fmt.Errorf("%w: its signing key is not, or no longer, known", ErrInvalid)
	}
	return key.Public(), nil
}

// load returns the keys of the periods around now.
func (k *Keys) load(ctx context.Context, now time.Time) (*keySet, error) {
	period := now.Unix() / int64(Period/time.Second)
	if known := k.known.Load(); known != nil && known.period == period {
		return known, nil
	}
	k.loading.Lock()
	defer k.loading.Unlock()
	if known := k.known.Load(); known != nil && known.period == period {
		return known, nil
	}
	keys := &keySet{period: period, byID: map[string]jose.JSONWebKey{}}
	for p := period - 1; p <= period+1; p++ {
		der, err := k.read(ctx, p, p >= period)
		if errors.Is(err, store.ErrNotFound) {
			continue // the installation is younger
		}
		if err != nil {
			return nil, err
		}
		key, err := parseKey(der)
		if err != nil {
			return nil, err
		}
		keys.byID[key.KeyID] = key
		if p == period {
			keys.signer = key
		}
	}
	k.known.Store(keys)
	return keys, nil
}

// read returns the private key of the period, and makes it where asked to.
func (k *Keys) read(ctx context.Context, period int64, create bool) ([]byte, error) {
	name := "signing-key-" + strconv.FormatInt(period, 10)
	der, err := k.store.Setting(ctx, name)
	if !create || !errors.Is(err, store.ErrNotFound) {
		return der, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("token: make a signing key: %w", err)
	}
	fresh, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("token: make a signing key: %w", err)
	}
	err = k.store.Update(ctx, func(tx store.Tx) error {
		// Another replica may have been quicker; then its key counts.
		_, err := tx.PutSetting(ctx, name, fresh)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k.store.Setting(ctx, name)
}

// parseKey reads a stored key. Its ID is its thumbprint (RFC 7638).
func parseKey(der []byte) (jose.JSONWebKey, error) {
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("token: stored signing key cannot be read: %w", err)
	}
	key := jose.JSONWebKey{Key: private, Algorithm: string(algorithm), Use: "sig"}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return key, fmt.Errorf("token: stored signing key cannot be read: %w", err)
	}
	key.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return key, nil
}
