package authn

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
)

// passwordParams follow the second recommendation of RFC 9106, for servers
// where memory is dear: 64 MiB, three passes.
var passwordParams = &argon2id.Params{Memory: 64 * 1024, Iterations: 3, Parallelism: 4, SaltLength: 16, KeyLength: 32}

// generatedParams are enough for a password of 128 random bits and more: nobody
// finds one by trying, however little a try costs.
var generatedParams = &argon2id.Params{Memory: 1024, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// Bounds of a password that somebody chooses, in characters.
const (
	MinPassword = 8
	MaxPassword = 128
)

// PasswordProblem says what is wrong with a password that the user with the
// address chooses, in words for them, or "".
func PasswordProblem(password, email string) string {
	switch length := utf8.RuneCountInString(password); {
	case length == 0:
		return "Choose a password."
	case length < MinPassword:
		return fmt.Sprintf("Choose a longer password: it needs at least %d characters.", MinPassword)
	case length > MaxPassword:
		return fmt.Sprintf("Choose a shorter password: it can have at most %d characters.", MaxPassword)
	case !utf8.ValidString(password):
		return "Choose a password of characters that can be read."
	case strings.EqualFold(password, email):
		return "Choose a password that is not your e-mail address."
	default:
		return ""
	}
}

// HashPassword returns the argon2id hash of the password, with its salt and
// parameters, as text. It takes tens of milliseconds and 64 MiB on purpose:
// never call it inside a transaction, and call it through Passwords where
// requests lead to it.
func HashPassword(password string) (string, error) { return hashWith(password, passwordParams) }

// HashGenerated is HashPassword for a password that Weir has made itself, of at
// least 128 random bits. It takes about a millisecond.
func HashGenerated(password string) (string, error) { return hashWith(password, generatedParams) }

func hashWith(password string, params *argon2id.Params) (string, error) {
	hash, err := argon2id.CreateHash(password, params)
	if err != nil {
		return "", fmt.Errorf("authn: hash password: %w", err)
	}
	return hash, nil
}

// PasswordMatches compares a password with what HashPassword or HashGenerated
// returned. Both take as long, so that the time tells nothing of the account.
func PasswordMatches(password, hash string) (bool, error) {
	ok, params, err := argon2id.CheckHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("authn: compare password: %w", err)
	}
	if *params == *generatedParams {
		if _, err := argon2id.ComparePasswordAndHash(password, NoPassword()); err != nil {
			return false, fmt.Errorf("authn: compare password: %w", err)
		}
	}
	return ok, nil
}

// NoPassword is a hash that no password matches, which costs as much to compare
// as any other: with it, an account that does not exist takes as long as a
// wrong password.
func NoPassword() string {
	zeros := func(n uint32) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s",
		passwordParams.Memory, passwordParams.Iterations, passwordParams.Parallelism, zeros(passwordParams.SaltLength), zeros(passwordParams.KeyLength))
}

// HashesAtOnce is how many passwords a process hashes or compares at a time,
// each in 64 MiB, whatever asks for it.
const HashesAtOnce = 2

// maxPasswordWait is how long a request waits for its turn.
const maxPasswordWait = 5 * time.Second

// ErrBusy means that no turn to hash a password came in time. Trying again
// later may help.
var ErrBusy = errors.New("authn: too many passwords to hash at once")

// Passwords gives turns to hash and compare passwords, HashesAtOnce at a time,
// so that a flood of them cannot exhaust the memory. It may be used from
// several goroutines; there is one in a process.
type Passwords struct {
	turns chan struct{}
	hash  func(password string) (string, error)
}

// NewPasswords returns one that hashes with the function given: HashPassword,
// or a faster one in tests.
func NewPasswords(hash func(password string) (string, error)) *Passwords {
	return &Passwords{turns: make(chan struct{}, HashesAtOnce), hash: hash}
}

// Turn waits for a turn, five seconds at most, and runs do in it. It answers
// ErrBusy when none came.
func (p *Passwords) Turn(ctx context.Context, do func() error) error {
	wait := time.NewTimer(maxPasswordWait)
	defer wait.Stop()
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
		return do()
	case <-wait.C:
		return ErrBusy
	case <-ctx.Done():
		return ErrBusy
	}
}

// Hash waits for a turn and returns the hash of the password.
func (p *Passwords) Hash(ctx context.Context, password string) (hash string, err error) {
	err = p.Turn(ctx, func() error {
		hash, err = p.hash(password)
		return err
	})
	return hash, err
}
