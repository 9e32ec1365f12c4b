package authn

import (
	"fmt"

	"github.com/alexedwards/argon2id"
)

// passwordParams follow the second recommendation of RFC 9106, for servers
// where memory is dear: 64 MiB, three passes.
var passwordParams = &argon2id.Params{Memory: 64 * 1024, Iterations: 3, Parallelism: 4, SaltLength: 16, KeyLength: 32}

// HashPassword returns the argon2id hash of the password, with its salt and
// parameters, as text. It takes tens of milliseconds and 64 MiB on purpose:
// never call it inside a transaction.
func HashPassword(password string) (string, error) {
	hash, err := argon2id.CreateHash(password, passwordParams)
	if err != nil {
		return "", fmt.Errorf("authn: hash password: %w", err)
	}
	return hash, nil
}

// PasswordMatches compares a password with what HashPassword returned.
func PasswordMatches(password, hash string) (bool, error) {
	ok, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("authn: compare password: %w", err)
	}
	return ok, nil
}
