// Package bootstrap makes what a new installation begins with: an
// organization, its first user, an environment, and a Cloud API key.
package bootstrap

import (
	"errors"
	"fmt"
	"net/mail"
	"regexp"

	"github.com/google/uuid"

	"github.com/weirhq/weir/internal/authn"
)

// Options fix values that are otherwise random, for installations that must
// come out the same each time. Empty ones are chosen.
type Options struct {
	APIKey, APISecret string
	Email, Password   string
	OrganizationID    string
}

// Limits of chosen secrets: shorter ones could be guessed.
const (
	minSecret = 16
	maxSecret = 128
)

var keyID = regexp.MustCompile(fmt.Sprintf("^[A-Z0-9]{%d}$", authn.KeyIDLength))

// Check reports what is wrong with the options, naming the variable.
func (o Options) Check() error {
	if o.APIKey != "" && !keyID.MatchString(o.APIKey) {
		return fmt.Errorf("WEIR_BOOTSTRAP_API_KEY must be %d upper-case letters and digits", authn.KeyIDLength)
	}
	if o.APISecret != "" && !printable(o.APISecret, minSecret, maxSecret) {
		return fmt.Errorf("WEIR_BOOTSTRAP_API_SECRET must have %d to %d printable ASCII characters without spaces", minSecret, maxSecret)
	}
	if o.Email != "" {
		if a, err := mail.ParseAddress(o.Email); err != nil || a.Address != o.Email {
			return errors.New("WEIR_BOOTSTRAP_EMAIL must be an e-mail address such as admin@example.com")
		}
	}
	if o.Password != "" && !printable(o.Password, authn.MinPassword, authn.MaxPassword) {
		return fmt.Errorf("WEIR_BOOTSTRAP_PASSWORD must have %d to %d printable ASCII characters without spaces", authn.MinPassword, authn.MaxPassword)
	}
	if o.OrganizationID != "" {
		if id, err := uuid.Parse(o.OrganizationID); err != nil || id.String() != o.OrganizationID {
			return errors.New("WEIR_BOOTSTRAP_ORGANIZATION_ID must be a UUID in lower case, such as 9bb441c4-edef-46ac-8a41-c49e44a3fd9a")
		}
	}
	return nil
}

func printable(s string, least, most int) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}
